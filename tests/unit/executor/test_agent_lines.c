#include "tests/unit/unit.h"

#include "tests/unit/executor/agent_replay.h"

static struct agent_report report;
static struct attempt_log quiet;
static struct agent_lines lines;

static void begin(const char *provider)
{
	agent_report_init(&report);
	attempt_log_init(&quiet, NULL, &(struct fencing_token){.attempt = 1});
	quiet.quiet = true;
	agent_lines_init(&lines, code_agent_find(provider), &report, &quiet);
}

static void end(void)
{
	agent_lines_release(&lines);
	attempt_log_release(&quiet);
	agent_report_release(&report);
}

static void add_recorded(const char *provider, const char *name, size_t piece)
{
	size_t len = 0;
	CLEANUP(free_p) char *text = replay_read(provider, name, &len);
	for (size_t at = 0; at < len; at += piece)
		agent_lines_add(&lines, text + at, len - at < piece ? len - at : piece);
}

TEST(lines_are_whole_however_they_are_cut)
{
	static const size_t pieces[] = {1, 7, 100, 4096, 1000000};
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		begin("opencode");
		add_recorded("opencode", "work", pieces[i]);
		agent_lines_end(&lines);
		code_agent_opencode.finish(&report, 0);
		assert_true(report.success); /* the last step was read, and no other broke */
		assert_string_equal(report.text, "HELLO.md says hello, and so does src/hello.sh; I ran it.");
		end();
	}
}

TEST(a_last_line_without_a_line_break_counts)
{
	static const char text[] = "{\"type\":\"text\",\"part\":{\"text\":\"the end\"}}";
	begin("opencode");
	agent_lines_add(&lines, text, sizeof(text) - 1);
	assert_null(report.text);
	agent_lines_end(&lines);
	assert_string_equal(report.text, "the end");
	end();
}

TEST(what_is_no_event_is_only_log)
{
	static const char text[] = "warning: {\"type\":\n[1]\n{\"type\":\n\n\"x\"\n";
	begin("opencode");
	agent_lines_add(&lines, text, sizeof(text) - 1);
	agent_lines_end(&lines);
	assert_int_equal(quiet.next_line, 1); /* a quiet log counts nothing */
	assert_null(report.text);
	end();
}

TEST(a_line_that_is_too_long_is_left_out_and_the_next_is_read)
{
	static const char next[] = "\"}\n{\"type\":\"text\",\"part\":{\"text\":\"next\"}}\n";
	size_t len = AGENT_LINE_MAX_BYTES / 4;
	CLEANUP(free_p) char *filler = xmalloc(len);
	memset(filler, 'x', len);
	begin("opencode");
	agent_lines_add(&lines, "{\"type\":\"", 9);
	for (int i = 0; i < 5; i++)
		agent_lines_add(&lines, filler, len);
	agent_lines_add(&lines, next, sizeof(next) - 1);
	assert_string_equal(report.text, "next");
	end();
}

/* As long as it may be, with `filler` as often as fits. */
static char *long_event(const char *begin_with, const char *filler, const char *end_with, size_t *ret_len)
{
	struct buffer text;
	buffer_init(&text, AGENT_LINE_MAX_BYTES);
	assert_int_equal(buffer_append_str(&text, begin_with), 0);
	while (text.len + strlen(filler) + strlen(end_with) <= AGENT_LINE_MAX_BYTES)
		assert_int_equal(buffer_append_str(&text, filler), 0);
	assert_int_equal(buffer_append_str(&text, end_with), 0);
	return buffer_detach(&text, ret_len);
}

TEST(a_line_of_too_many_values_is_left_out_and_the_next_is_read)
{
	static const char *const fillers[] = {"0,", "[],", "{\"\":[[0,0]]},"};
	static const char next[] = "{\"type\":\"text\",\"part\":{\"text\":\"next\"}}\n";
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
		size_t len = 0;
		CLEANUP(free_p)
		char *line = long_event("{\"type\":\"text\",\"part\":{\"text\":\"long\"},\"a\":[", fillers[i], "0]}\n", &len);
		begin("opencode");
		agent_lines_add(&lines, line, len);
		assert_null(report.text);
		agent_lines_add(&lines, next, sizeof(next) - 1);
		assert_string_equal(report.text, "next");
		end();
	}
}

TEST(a_long_text_is_not_taken_for_many_values)
{
	size_t len = 0;
	CLEANUP(free_p)
	char *line = long_event("{\"type\":\"text\",\"part\":{\"text\":\"", "[{,\\\",\\\\", "\"}}\n", &len);
	begin("opencode");
	agent_lines_add(&lines, line, len);
	assert_non_null(report.text);
	assert_int_equal(strncmp(report.text, "[{,\",\\[{", 8), 0);
	end();
}

static void becomes(const char *json, size_t len, const char *text)
{
	cJSON *tree = agent_line_parse(json, len);
	if (text == NULL) {
		assert_null(tree);
		return;
	}
	assert_non_null(tree);
	assert_string_equal(json_get_string(tree, "t"), text);
	cJSON_Delete(tree);
}

#define BECOMES(json, text) becomes("{\"t\":\"" json "\"}", sizeof("{\"t\":\"" json "\"}") - 1, text)

TEST(odd_text_within_an_event_is_mended)
{
	BECOMES("a\\u0000b",
			"a\xef\xbf\xbd"
			"b");
	BECOMES("a\\ud83e\\uddf1b",
			"a\xf0\x9f\xa7\xb1"
			"b");
	BECOMES("\\u0000\\ud83e\\uddf1", "\xef\xbf\xbd\xf0\x9f\xa7\xb1");
	BECOMES("\\ud83eb",
			"\xef\xbf\xbd"
			"b");
	BECOMES("\\uddf1", "\xef\xbf\xbd");
	BECOMES("\\uD83E\\uD83E\\uDDF1", "\xef\xbf\xbd\xf0\x9f\xa7\xb1");
	BECOMES("\xff", "\xef\xbf\xbd");
	BECOMES("\\\\u0000\\u0000", "\\u0000\xef\xbf\xbd"); /* an escaped backslash is no escape */
	BECOMES("\\u00", NULL);
	BECOMES("\\u000g\\u0000", NULL);
	becomes("", 0, NULL);
	becomes("[]", 2, NULL);
	becomes("{", 1, NULL);
}

TEST(a_secret_is_masked_however_json_spells_it)
{
	static const char text[] = "{\"type\":\"text\",\"part\":{\"text\":\"it is \\u0074oken\\u002dof\\u002dkiln!\"}}\n";
	begin("opencode");
	secrets_add(&quiet.secrets, "token-of-kiln");
	agent_lines_add(&lines, text, sizeof(text) - 1);
	agent_lines_end(&lines);
	assert_string_equal(report.text, "it is [masked]!");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_whole_however_they_are_cut),
		cmocka_unit_test(a_last_line_without_a_line_break_counts),
		cmocka_unit_test(what_is_no_event_is_only_log),
		cmocka_unit_test(a_line_that_is_too_long_is_left_out_and_the_next_is_read),
		cmocka_unit_test(a_line_of_too_many_values_is_left_out_and_the_next_is_read),
		cmocka_unit_test(a_long_text_is_not_taken_for_many_values),
		cmocka_unit_test(odd_text_within_an_event_is_mended),
		cmocka_unit_test(a_secret_is_masked_however_json_spells_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
