#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/streams/sse.h"

static struct buffer text;

static int setup(void **state UNUSED)
{
	buffer_init(&text, 4096);
	return 0;
}

static int teardown(void **state UNUSED)
{
	buffer_release(&text);
	return 0;
}

static void event(const char *id, const char *type, const char *data)
{
	buffer_clear(&text);
	sse_event(&text, id, type, data, strlen(data));
}

TEST(an_event_has_its_id_its_type_and_its_data)
{
	event("7", "build.started", "{\"a\":1}");
	assert_string_equal(text.data, "id: 7\nevent: build.started\ndata: {\"a\":1}\n\n");
}

TEST(an_event_without_an_id_leaves_the_last_one)
{
	event(NULL, "reset", "{}");
	assert_string_equal(text.data, "event: reset\ndata: {}\n\n");
}

TEST(data_with_line_ends_cannot_forge_a_field)
{
	event("1", "x", "a\nid: 9\r\n\rdata: b");
	assert_string_equal(text.data, "id: 1\nevent: x\ndata: a\ndata: id: 9\ndata: \ndata: data: b\n\n");
	event("1", "x", "a\n");
	assert_string_equal(text.data, "id: 1\nevent: x\ndata: a\ndata: \n\n");
}

TEST(no_data_is_an_empty_line_of_data)
{
	event("1", "x", "");
	assert_string_equal(text.data, "id: 1\nevent: x\ndata: \n\n");
}

static void forge_a_type(void *arg UNUSED)
{
	sse_event(&text, NULL, "x\ndata: y", "", 0);
}

static void forge_an_id(void *arg UNUSED)
{
	sse_event(&text, "1\r2", "x", "", 0);
}

TEST(a_line_end_in_a_type_or_an_id_is_a_bug)
{
	unit_assert_aborts(forge_a_type, NULL);
	unit_assert_aborts(forge_an_id, NULL);
}

TEST(a_sequence_is_read)
{
	static const struct {
		const char *value;
		int64_t sequence; /* -1: refused */
	} cases[] = {
		{"0", 0},
		{"7", 7},
		{"4294967297", 4294967297},
		{"9223372036854775807", INT64_MAX},
		{"", -1},
		{"-1", -1},
		{"7 ", -1},
		{"9223372036854775808", -1},
		{"0x1", -1},
		{"1e3", -1},
		{"AQAAAA", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t sequence = -1;
		struct error err = ERROR_INIT;
		int result = sse_read_sequence(cases[i].value, strlen(cases[i].value), &sequence, &err);
		assert_int_equal(result, cases[i].sequence < 0 ? -1 : 0);
		assert_int_equal(sequence, cases[i].sequence);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_has_its_id_its_type_and_its_data, setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_without_an_id_leaves_the_last_one, setup, teardown),
		cmocka_unit_test_setup_teardown(data_with_line_ends_cannot_forge_a_field, setup, teardown),
		cmocka_unit_test_setup_teardown(no_data_is_an_empty_line_of_data, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_end_in_a_type_or_an_id_is_a_bug, setup, teardown),
		cmocka_unit_test(a_sequence_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
