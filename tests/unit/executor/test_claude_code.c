#include "tests/unit/unit.h"

#include "tests/unit/executor/agent_replay.h"

#define AGENT "claude-code"

TEST(a_whole_run_is_read)
{
	struct replay replay;
	replay_all(&replay, AGENT, "work", EXITED(0));
	const struct agent_report *report = &replay.report;
	assert_true(report->success);
	assert_string_equal(report->text, "HELLO.md says hello, and so does src/hello.sh; I ran it.");
	assert_string_equal(report->version, "2.1.332");
	assert_string_equal(report->model, "claude-opus-5-5");
	assert_string_equal(report->session_id, "3bd1a811-fe9a-4a9f-8f87-efb196c242a1");
	assert_int_equal(report->denials_len, 0);
	assert_non_null(strstr(replay.said.data, "I'll write the page and the program.\n[Write] {"));
	assert_non_null(strstr(replay.said.data, "\n[result] Hello from an agent.\n"));
	replay_end(&replay);
}

TEST(an_error_of_the_model_is_seen_behind_the_word_success)
{
	recording_fails(AGENT, "status-401", EXITED(1), "model_unavailable", false);
	recording_fails(AGENT, "status-429", EXITED(1), "model_unavailable", true);
	recording_fails(AGENT, "rubbish", EXITED(1), "model_unavailable", true);
	recording_fails(AGENT, "status-400", EXITED(1), "agent_failed", false);
	/* The exit status does not decide. */
	recording_fails(AGENT, "status-429", EXITED(0), "model_unavailable", true);
}

TEST(the_turn_limit_has_its_class)
{
	recording_fails(AGENT, "max-turns", EXITED(1), "turn_limit", false);
}

TEST(denied_tools_are_named_and_do_not_fail_the_run)
{
	struct replay replay;
	replay_all(&replay, AGENT, "denied", EXITED(0));
	assert_true(replay.report.success);
	assert_int_equal(replay.report.denials_len, 2);
	assert_string_equal(replay.report.denials[0], "Write");
	assert_string_equal(replay.report.denials[1], "WebFetch");
	assert_non_null(strstr(replay.said.data, "[denied] Claude requested permissions to write to /etc/kiln-x"));
	replay_end(&replay);
}

TEST(a_nul_in_the_answer_is_replaced)
{
	struct replay replay;
	replay_all(&replay, AGENT, "odd-bytes", EXITED(0));
	assert_true(replay.report.success);
	assert_string_equal(replay.report.text, "n\xef\xbf\xbdl");
	replay_end(&replay);
}

TEST(success_with_another_exit_status_is_none)
{
	recording_fails(AGENT, "work", EXITED(1), "agent_failed", false);
	recording_fails(AGENT, "work", 15 /* SIGTERM */, "agent_failed", false);
}

TEST(an_end_without_a_result_fails_and_says_how_it_ended)
{
	struct replay replay;
	replay_begin(&replay, AGENT);
	replay.agent->finish(&replay.report, EXITED(3));
	assert_failed(&replay, "agent_failed", false);
	assert_string_equal(replay.report.message, "the agent ended with exit status 3 and gave no result");
	replay_end(&replay);
}

TEST(what_it_took_is_not_taken_from_its_word)
{
	struct replay replay;
	replay_all(&replay, AGENT, "work", EXITED(0));
	assert_int_equal(replay.report.turns, -1);
	assert_int_equal(replay.report.tokens_output, -1);
	assert_true(replay.report.cost_usd < 0);
	replay_end(&replay);
}

static void begins_with(struct replay *replay, const char *name)
{
	CLEANUP(free_p)
	char *line = xasprintf(
		"{\"type\":\"system\",\"subtype\":\"init\",\"claude_code_version\":\"%s\","
		"\"model\":\"%s\",\"session_id\":\"%s\"}",
		name, name, name);
	replay_line(replay, line, strlen(line));
}

TEST(what_is_too_long_for_a_name_is_none)
{
	struct replay replay;
	char name[AGENT_NAME_MAX_BYTES + 2] = "";
	replay_begin(&replay, AGENT);
	memset(name, 'x', AGENT_NAME_MAX_BYTES);
	begins_with(&replay, name);
	assert_string_equal(replay.report.version, name);
	assert_string_equal(replay.report.model, name);
	assert_string_equal(replay.report.session_id, name);
	name[AGENT_NAME_MAX_BYTES] = 'x';
	begins_with(&replay, name);
	assert_null(replay.report.version);
	assert_null(replay.report.model);
	assert_null(replay.report.session_id);
	replay_end(&replay);
}

TEST(events_of_other_forms_are_passed_over)
{
	static const char *const lines[] = {
		"{}",
		"{\"type\":7}",
		"{\"type\":\"assistant\"}",
		"{\"type\":\"assistant\",\"message\":{\"content\":[1,{\"type\":\"text\"},{\"type\":\"tool_use\"}]}}",
		"{\"type\":\"user\",\"message\":{\"content\":\"text\"}}",
		"{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":[{},7]}]}}",
		"{\"type\":\"system\",\"subtype\":\"of the future\"}",
		"{\"type\":\"result\",\"usage\":[],\"permission_denials\":{},\"errors\":7}",
	};
	struct replay replay;
	replay_begin(&replay, AGENT);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		replay_line(&replay, lines[i], strlen(lines[i]));
	replay.agent->finish(&replay.report, EXITED(0));
	assert_false(replay.report.success); /* a result that does not say so is no success */
	replay_end(&replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_run_is_read),
		cmocka_unit_test(an_error_of_the_model_is_seen_behind_the_word_success),
		cmocka_unit_test(the_turn_limit_has_its_class),
		cmocka_unit_test(denied_tools_are_named_and_do_not_fail_the_run),
		cmocka_unit_test(a_nul_in_the_answer_is_replaced),
		cmocka_unit_test(success_with_another_exit_status_is_none),
		cmocka_unit_test(an_end_without_a_result_fails_and_says_how_it_ended),
		cmocka_unit_test(what_it_took_is_not_taken_from_its_word),
		cmocka_unit_test(what_is_too_long_for_a_name_is_none),
		cmocka_unit_test(events_of_other_forms_are_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
