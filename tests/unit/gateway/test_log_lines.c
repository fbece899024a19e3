#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/streams/log_lines.h"

#define LINE(text) "{\"time\":\"t\",\"stream\":\"stdout\",\"text\":\"" text "\"}"

static cJSON *parse(const char *text)
{
	struct error err = ERROR_INIT;
	cJSON *tree = NULL;
	assert_int_equal(json_parse(text, strlen(text), &tree, &err), 0);
	return tree;
}

TEST(a_line_is_an_event_with_its_sequence)
{
	CLEANUP(cJSON_Delete_p)
	cJSON *data = parse("{\"attempt\":2,\"first_line\":7,\"lines\":[" LINE("a") "," LINE("b") "]}");
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	struct log_record record;
	struct error err = ERROR_INIT;
	assert_int_equal(log_record_of(data, &record, &err), 0);
	assert_int_equal(log_record_last(&record), log_sequence(2, 8));
	assert_int_equal(log_lines_sse(&text, &record, log_sequence(2, 7), SIZE_MAX), log_sequence(2, 8));
	assert_string_equal(text.data,
						"id: 8589934600\nevent: build.log\ndata: {\"sequence\":8589934600,\"attempt\":2,"
						"\"time\":\"t\",\"stream\":\"stdout\",\"text\":\"b\"}\n\n");
}

TEST(what_an_executor_left_out_is_told)
{
	CLEANUP(cJSON_Delete_p)
	cJSON *line = parse("{\"time\":\"t\",\"stream\":\"kiln\",\"text\":\"a\",\"truncated\":{\"bytes\":9,\"lines\":1}}");
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	struct json_writer w;
	json_writer_init(&w, &text);
	assert_true(log_line_write(&w, 1, 2, line));
	assert_string_equal(text.data,
						"{\"sequence\":2,\"attempt\":1,\"time\":\"t\",\"stream\":\"kiln\",\"text\":\"a\","
						"\"truncated\":{\"bytes\":9,\"lines\":1}}");
}

static void gap_is(int64_t after, int64_t attempt, int64_t first_line, int64_t from, int64_t to)
{
	struct log_gap gap;
	assert_true(log_gap_before(after, attempt, first_line, &gap));
	assert_int_equal(gap.from, from);
	assert_int_equal(gap.to, to);
}

TEST(numbers_that_are_missing_within_an_attempt_are_a_gap)
{
	struct log_gap gap;
	gap_is(log_sequence(1, 4), 1, 8, log_sequence(1, 5), log_sequence(1, 7));
	gap_is(0, 1, 3, log_sequence(1, 1), log_sequence(1, 2));
	gap_is(log_sequence(1, 4), 3, 2, log_sequence(3, 1), log_sequence(3, 1));
	assert_false(log_gap_before(log_sequence(1, 4), 1, 5, &gap));
	assert_false(log_gap_before(log_sequence(1, 4), 1, 2, &gap)); /* a repeat */
	assert_false(log_gap_before(log_sequence(1, 4), 3, 1, &gap)); /* an attempt without a log between */
	assert_false(log_gap_before(0, 1, 1, &gap));
	assert_false(log_gap_before(log_sequence(2, 9), 1, 20, &gap));
}

TEST(a_gap_is_an_event_in_the_place_of_its_lines)
{
	const struct log_gap gap = {.from = log_sequence(2, 5), .to = log_sequence(2, 7)};
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	log_gap_sse(&text, &gap);
	assert_string_equal(text.data,
						"id: 8589934599\nevent: gap\ndata: {\"sequence\":8589934599,\"attempt\":2,\"time\":null,"
						"\"stream\":\"kiln\",\"text\":\"[gap: lines 5 to 7 of attempt 2 are missing]\","
						"\"gap\":{\"from\":8589934597,\"to\":8589934599,\"lines\":3}}\n\n");
}

TEST(lines_end_with_the_one_that_passes_the_limit)
{
	CLEANUP(cJSON_Delete_p)
	cJSON *data = parse("{\"attempt\":1,\"first_line\":1,\"lines\":[" LINE("a") "," LINE("b") "," LINE("c") "]}");
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	struct log_record record;
	struct error err = ERROR_INIT;
	assert_int_equal(log_record_of(data, &record, &err), 0);
	assert_int_equal(log_lines_sse(&text, &record, 0, 0), log_sequence(1, 1));
	assert_int_equal(log_lines_sse(&text, &record, log_sequence(1, 1), 0), log_sequence(1, 1));
	assert_int_equal(log_lines_sse(&text, &record, log_sequence(1, 1), SIZE_MAX), log_sequence(1, 3));
}

TEST(what_is_no_log_record_is_refused)
{
	static const char *const wrong[] = {
		"{}",
		"{\"attempt\":0,\"first_line\":1,\"lines\":[]}",
		"{\"attempt\":1,\"first_line\":0,\"lines\":[]}",
		"{\"attempt\":1,\"first_line\":1,\"lines\":{}}",
		"{\"attempt\":1,\"first_line\":4294967296,\"lines\":[]}",
		"{\"attempt\":4294967296,\"first_line\":1,\"lines\":[]}",
		"{\"attempt\":\"1\",\"first_line\":1,\"lines\":[]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CLEANUP(cJSON_Delete_p) cJSON *data = parse(wrong[i]);
		struct log_record record;
		struct error err = ERROR_INIT;
		assert_int_equal(log_record_of(data, &record, &err), -1);
	}
}

TEST(a_line_without_text_is_none)
{
	CLEANUP(cJSON_Delete_p) cJSON *data = parse("{\"attempt\":1,\"first_line\":1,\"lines\":[{},7," LINE("c") "]}");
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	struct log_record record;
	struct error err = ERROR_INIT;
	assert_int_equal(log_record_of(data, &record, &err), 0);
	assert_int_equal(log_lines_sse(&text, &record, 0, SIZE_MAX), log_sequence(1, 3));
	assert_true(strncmp(text.data, "id: 4294967299\n", 15) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_an_event_with_its_sequence),
		cmocka_unit_test(what_an_executor_left_out_is_told),
		cmocka_unit_test(numbers_that_are_missing_within_an_attempt_are_a_gap),
		cmocka_unit_test(a_gap_is_an_event_in_the_place_of_its_lines),
		cmocka_unit_test(lines_end_with_the_one_that_passes_the_limit),
		cmocka_unit_test(what_is_no_log_record_is_refused),
		cmocka_unit_test(a_line_without_text_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
