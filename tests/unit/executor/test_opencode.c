#include "tests/unit/unit.h"

#include "tests/unit/executor/agent_replay.h"

#define AGENT "opencode"

TEST(a_whole_run_is_read)
{
	struct replay replay;
	replay_all(&replay, AGENT, "work", EXITED(0));
	const struct agent_report *report = &replay.report;
	assert_true(report->success);
	assert_string_equal(report->text, "HELLO.md says hello, and so does src/hello.sh; I ran it.");
	assert_string_equal(report->session_id, "ses_dde1a1830ffedgZzSuaYjwGMFq");
	assert_int_equal(report->turns, -1); /* the model proxy's to count */
	assert_int_equal(report->tokens_output, -1);
	assert_non_null(strstr(replay.said.data, "I'll write the page and the program.\n[write] {"));
	assert_non_null(strstr(replay.said.data, "\n[result] Hello from an agent.\n"));
	replay_end(&replay);
}

TEST(errors_have_their_classes)
{
	recording_fails(AGENT, "status-401", EXITED(1), "model_unavailable", false);
	recording_fails(AGENT, "status-429", EXITED(1), "model_unavailable", true);
	recording_fails(AGENT, "cut", EXITED(1), "model_unavailable", true);
	recording_fails(AGENT, "rubbish", EXITED(1), "model_unavailable", true);
	recording_fails(AGENT, "status-400", EXITED(1), "agent_failed", false);
	/* The exit status does not decide. */
	recording_fails(AGENT, "status-429", EXITED(0), "model_unavailable", true);
}

TEST(a_run_that_a_refusal_has_ended_is_no_success)
{
	struct replay replay;
	replay_all(&replay, AGENT, "denied", EXITED(0)); /* so it exits */
	assert_failed(&replay, "agent_failed", false);
	assert_int_equal(replay.report.denials_len, 1);
	assert_string_equal(replay.report.denials[0], "write");
	replay_end(&replay);
}

TEST(streams_that_end_early_make_it_hopeless_after_some_in_a_row)
{
	size_t len = 0;
	struct replay replay;
	CLEANUP(free_p) char *text = replay_read(AGENT, "early-end", &len);
	replay_begin(&replay, AGENT);
	for (int step = 1; step <= 5; step++) {
		assert_false(replay.report.hopeless);
		for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
			replay_line(&replay, line, (size_t)(end - line));
	}
	assert_true(replay.report.hopeless);
	replay.agent->finish(&replay.report, 15 /* SIGTERM */);
	assert_failed(&replay, "model_unavailable", true);
	replay_end(&replay);
}

TEST(a_last_stream_that_ended_early_is_the_models_failure)
{
	recording_fails(AGENT, "early-end", EXITED(0), "model_unavailable", true);
}

TEST(an_end_before_the_models_is_no_success)
{
	recording_fails(AGENT, "loop", EXITED(0), "agent_failed", false);
	recording_fails(AGENT, "work", EXITED(1), "agent_failed", false);
	recording_fails(AGENT, "work", 15 /* SIGTERM */, "agent_failed", false);
	struct replay replay;
	replay_begin(&replay, AGENT);
	replay.agent->finish(&replay.report, EXITED(0));
	assert_failed(&replay, "agent_failed", false);
	replay_end(&replay);
}

TEST(events_of_other_forms_are_passed_over)
{
	static const char *const lines[] = {
		"{}",
		"{\"type\":7}",
		"{\"type\":\"text\"}",
		"{\"type\":\"tool_use\",\"part\":7}",
		"{\"type\":\"tool_use\",\"part\":{\"state\":{\"status\":\"error\"}}}",
		"{\"type\":\"step_finish\",\"part\":{\"tokens\":7}}",
		"{\"type\":\"of the future\",\"part\":{}}",
		"{\"type\":\"error\"}",
	};
	struct replay replay;
	replay_begin(&replay, AGENT);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		replay_line(&replay, lines[i], strlen(lines[i]));
	replay.agent->finish(&replay.report, EXITED(0));
	assert_failed(&replay, "agent_failed", false);
	replay_end(&replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_run_is_read),
		cmocka_unit_test(errors_have_their_classes),
		cmocka_unit_test(a_run_that_a_refusal_has_ended_is_no_success),
		cmocka_unit_test(streams_that_end_early_make_it_hopeless_after_some_in_a_row),
		cmocka_unit_test(a_last_stream_that_ended_early_is_the_models_failure),
		cmocka_unit_test(an_end_before_the_models_is_no_success),
		cmocka_unit_test(events_of_other_forms_are_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
