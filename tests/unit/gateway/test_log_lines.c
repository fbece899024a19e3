#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/log_lines.h"

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
		cmocka_unit_test(lines_end_with_the_one_that_passes_the_limit),
		cmocka_unit_test(what_is_no_log_record_is_refused),
		cmocka_unit_test(a_line_without_text_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
