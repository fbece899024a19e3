#include "tests/unit/unit.h"

#include "common/base/alloc.h"
#include "common/base/log.h"

static struct buffer output;

static void capture(void (*function)(void *arg), void *arg)
{
	buffer_release(&output);
	assert_int_equal(unit_run_in_child(function, arg, &output), 0);
}

static int release_output(void **state)
{
	(void)state;
	buffer_release(&output);
	return 0;
}

static void write_json_line(void *arg)
{
	log_init("svc", LOG_INFO, LOG_JSON);
	log_info("hello", "build_id", (const char *)arg, "attempt", LOG_INT(2), NULL);
}

TEST(a_json_line_has_time_level_service_message_and_pairs)
{
	capture(write_json_line, (char[]){"b1"});
	assert_memory_equal(output.data, "{\"time\":\"2", 10);
	assert_non_null(strstr(
		output.data,
		"Z\",\"level\":\"info\",\"service\":\"svc\",\"msg\":\"hello\",\"build_id\":\"b1\",\"attempt\":\"2\"}\n"));
}

TEST(a_null_value_drops_its_pair)
{
	capture(write_json_line, NULL);
	assert_non_null(strstr(output.data, "\"msg\":\"hello\",\"attempt\":\"2\"}\n"));
}

static void write_with_fields(void *arg)
{
	(void)arg;
	log_init("svc", LOG_INFO, LOG_JSON);
	log_set_field("worker_id", "w1");
	log_set_field("nothing", NULL);
	char id[] = "t1";
	log_set_field("trace_id", id);
	id[1] = '2';
	log_info("hello", "build_id", "b1", NULL);
	log_info("again", NULL);
}

TEST(a_field_that_was_set_is_in_each_line_from_then_on)
{
	capture(write_with_fields, NULL);
	assert_non_null(
		strstr(output.data, "\"msg\":\"hello\",\"build_id\":\"b1\",\"worker_id\":\"w1\",\"trace_id\":\"t1\"}\n"));
	assert_non_null(strstr(output.data, "\"msg\":\"again\",\"worker_id\":\"w1\",\"trace_id\":\"t1\"}\n"));
}

TEST(control_bytes_quotes_and_line_ends_are_escaped)
{
	capture(write_json_line, (char[]){"a\"\\\r\n\t\x01\x7f"});
	assert_non_null(strstr(output.data, "\"a\\\"\\\\\\r\\n\\t\\u0001\\u007f\""));
	assert_ptr_equal(strchr(output.data, '\n'), output.data + output.len - 1);
}

TEST(invalid_utf8_becomes_the_replacement_character)
{
	capture(write_json_line, (char[]){"a\xff€\xe2\x82"});
	assert_non_null(strstr(output.data, "\"a\xEF\xBF\xBD€\xEF\xBF\xBD\xEF\xBF\xBD\""));
}

static void write_text_line(void *arg)
{
	log_init("svc", LOG_INFO, LOG_TEXT);
	log_warn("hello there", "plain", "x", "spaced", (const char *)arg, "empty", "", NULL);
}

TEST(a_text_line_quotes_only_what_needs_it)
{
	capture(write_text_line, (char[]){"a b\n"});
	assert_non_null(strstr(output.data, "Z warn svc: hello there plain=x spaced=\"a b\\n\" empty=\"\"\n"));
}

static void write_long_value(void *arg)
{
	const size_t *len = arg;
	CLEANUP(free_p) char *value = xmalloc(*len + 1);
	for (size_t i = 0; i < *len; i++)
		value[i] = "€"[i % 3];
	value[*len] = '\0';
	log_init("svc", LOG_INFO, LOG_JSON);
	log_info("long", "value", value, "after", "x", NULL);
}

TEST(a_value_is_cut_at_4_kib_between_characters)
{
	size_t len = 9000;
	capture(write_long_value, &len);
	const char *begin = strstr(output.data, "\"value\":\"") + 9, *end = strchr(begin, '"');
	assert_in_range(end - begin, 4090, 4098);
	assert_int_equal((end - begin) % 3, 0);
	assert_non_null(strstr(end, "\",\"after\":\"x\"}\n"));
}

static void write_many_values(void *arg)
{
	const char *value = arg;
	log_init("svc", LOG_INFO, LOG_JSON);
	log_info("many", "a", value, "b", value, "c", value, "d", value, "e", value, "f", value, NULL);
}

TEST(a_line_is_at_most_16_kib_and_still_whole)
{
	static char value[4001];
	memset(value, '\x01', sizeof(value) - 1);
	capture(write_many_values, value);
	assert_true(output.len <= 16384 && output.len > 16000);
	assert_string_equal(output.data + output.len - 3, "\"}\n");
}

static void write_below_level(void *arg)
{
	(void)arg;
	log_init("svc", LOG_WARN, LOG_JSON);
	log_debug("no", NULL);
	log_info("no", NULL);
	log_error("yes", NULL);
}

TEST(lines_below_the_level_are_not_written)
{
	capture(write_below_level, NULL);
	assert_null(strstr(output.data, "\"no\""));
	assert_non_null(strstr(output.data, "\"level\":\"error\",\"service\":\"svc\",\"msg\":\"yes\"}"));
}

TEST(sixteen_number_texts_live_at_once)
{
	const char *texts[16];
	for (int i = 0; i < 16; i++)
		texts[i] = LOG_INT(i - 8);
	assert_string_equal(texts[0], "-8");
	assert_string_equal(texts[15], "7");
	assert_string_equal(LOG_INT(INT64_MIN), "-9223372036854775808");
}

TEST(errno_survives_a_line)
{
	log_init("svc", LOG_ERROR, LOG_TEXT);
	errno = EBADF;
	log_line(LOG_INFO, "not written", NULL);
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_json_line_has_time_level_service_message_and_pairs, release_output),
		cmocka_unit_test_teardown(a_null_value_drops_its_pair, release_output),
		cmocka_unit_test_teardown(a_field_that_was_set_is_in_each_line_from_then_on, release_output),
		cmocka_unit_test_teardown(control_bytes_quotes_and_line_ends_are_escaped, release_output),
		cmocka_unit_test_teardown(invalid_utf8_becomes_the_replacement_character, release_output),
		cmocka_unit_test_teardown(a_text_line_quotes_only_what_needs_it, release_output),
		cmocka_unit_test_teardown(a_value_is_cut_at_4_kib_between_characters, release_output),
		cmocka_unit_test_teardown(a_line_is_at_most_16_kib_and_still_whole, release_output),
		cmocka_unit_test_teardown(lines_below_the_level_are_not_written, release_output),
		cmocka_unit_test(sixteen_number_texts_live_at_once),
		cmocka_unit_test(errno_survives_a_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
