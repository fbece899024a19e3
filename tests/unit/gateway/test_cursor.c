#include "tests/unit/unit.h"

#include "api-gateway/lists/cursor.h"

#define TIME "2026-11-23T17:20:00.123456Z"
#define ID "0198c1de-7a3b-7c4d-8e5f-0123456789ab"

static struct buffer made;

static int teardown(void **state UNUSED)
{
	buffer_release(&made);
	return 0;
}

static int setup(void **state UNUSED)
{
	buffer_init(&made, CURSOR_MAX);
	return 0;
}

TEST(a_place_comes_back_as_it_was)
{
	struct cursor_place place;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, TIME, ID), 0);
	assert_int_equal(cursor_read_place(made.data, CURSOR_BUILDS, &place, &err), 0);
	assert_string_equal(place.created_at, TIME);
	assert_string_equal(place.id, ID);
}

TEST(a_cursor_needs_no_escape_in_a_url)
{
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, TIME, ID), 0);
	assert_int_equal(strspn(made.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), made.len);
}

TEST(names_and_sequences_come_back)
{
	char name[64];
	int64_t sequence;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_name(&made, CURSOR_TEMPLATES, "review"), 0);
	assert_int_equal(cursor_read_name(made.data, CURSOR_TEMPLATES, name, &err), 0);
	assert_string_equal(name, "review");
	buffer_clear(&made);
	assert_int_equal(cursor_append_sequence(&made, CURSOR_LOGS, 4294967297), 0);
	assert_int_equal(cursor_read_sequence(made.data, CURSOR_LOGS, &sequence, &err), 0);
	assert_int_equal(sequence, 4294967297);
}

TEST(a_line_of_the_queue_comes_back_and_a_forged_one_is_refused)
{
	static const char *const forged[] = {"name",
										 "name,",
										 "Name,0123456789abcdef0123456789abcdef",
										 "name,0123456789abcdef0123456789abcdeg",
										 "name,0123456789abcdef0123456789abcdef0",
										 "name,0123456789ABCDEF0123456789abcdef"};
	struct cursor_line line;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_line(&made, CURSOR_QUEUE, "demo", "0123456789abcdef0123456789abcdef"), 0);
	assert_int_equal(cursor_read_line(made.data, CURSOR_QUEUE, &line, &err), 0);
	assert_string_equal(line.name, "demo");
	assert_string_equal(line.key, "0123456789abcdef0123456789abcdef");
	for (size_t i = 0; i < ARRAY_LEN(forged); i++) {
		buffer_clear(&made);
		assert_int_equal(cursor_append_name(&made, CURSOR_QUEUE, forged[i]), 0);
		assert_int_equal(cursor_read_line(made.data, CURSOR_QUEUE, &line, &err), -1);
	}
}

TEST(the_cursor_of_another_list_is_refused)
{
	struct cursor_place place;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, TIME, ID), 0);
	assert_int_equal(cursor_read_place(made.data, CURSOR_PROJECTS, &place, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

TEST(what_no_list_gave_is_refused)
{
	static const char *const bad[] = {"",   "x", "====", "YjIwMjY", "!!!", "YiAgICAgICAgICAgICAgICAgICAgICAgICAgICAg",
									  "a b"};
	struct cursor_place place;
	char name[64];
	int64_t sequence;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = ERROR_INIT;
		assert_int_equal(cursor_read_place(bad[i], CURSOR_BUILDS, &place, &err), -1);
		assert_int_equal(cursor_read_name(bad[i], CURSOR_TEMPLATES, name, &err), -1);
		assert_int_equal(cursor_read_sequence(bad[i], CURSOR_EVENTS, &sequence, &err), -1);
	}
}

TEST(parts_that_are_no_time_or_id_are_refused)
{
	struct cursor_place place;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, "2026-13-23T17:20:00.123456Z", ID), 0);
	assert_int_equal(cursor_read_place(made.data, CURSOR_BUILDS, &place, &err), -1);
	buffer_clear(&made);
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, TIME, "0198c1de-7a3b-7c4d-8e5f-0123456789aX"), 0);
	assert_int_equal(cursor_read_place(made.data, CURSOR_BUILDS, &place, &err), -1);
	buffer_clear(&made);
	assert_int_equal(cursor_append_name(&made, CURSOR_TEMPLATES, "No Name"), 0);
	char name[64];
	assert_int_equal(cursor_read_name(made.data, CURSOR_TEMPLATES, name, &err), -1);
}

/* libFuzzer found these: they are read as times, and Postgres fails at the first. */
TEST(a_time_that_is_not_written_as_ours_is_refused)
{
	static const char *const times[] = {"0000-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z",
										"2026-11-23T17:20:00.1+01:00", "2026-11-23T17:20:60.000000Z",
										"2026-11-23t17:20:00.123456z"};
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct cursor_place place;
		struct error err = ERROR_INIT;
		buffer_clear(&made);
		assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, times[i], ID), 0);
		assert_int_equal(cursor_read_place(made.data, CURSOR_BUILDS, &place, &err), -1);
	}
}

/* libFuzzer found it: one place has one cursor. */
TEST(a_sequence_with_zeros_before_it_is_refused)
{
	int64_t sequence;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_name(&made, CURSOR_EVENTS, "02"), 0);
	assert_int_equal(cursor_read_sequence(made.data, CURSOR_EVENTS, &sequence, &err), -1);
	buffer_clear(&made);
	assert_int_equal(cursor_append_sequence(&made, CURSOR_EVENTS, 0), 0);
	assert_int_equal(cursor_read_sequence(made.data, CURSOR_EVENTS, &sequence, &err), 0);
	assert_int_equal(sequence, 0);
}

TEST(a_tag_is_taken_off_and_another_one_is_refused)
{
	struct cursor_place place;
	struct error err = ERROR_INIT;
	assert_int_equal(cursor_append_place(&made, CURSOR_BUILDS, TIME, ID), 0);
	assert_int_equal(cursor_take_tag(made.data, "01234567", &err), -1);
	assert_int_equal(cursor_append_tag(&made, "01234567"), 0);
	assert_int_equal(cursor_take_tag(made.data, "01234568", &err), -1);
	assert_non_null(strstr(err.message, "other filters"));
	assert_int_equal(cursor_take_tag(made.data, "01234567", &err), 0);
	assert_int_equal(cursor_read_place(made.data, CURSOR_BUILDS, &place, &err), 0);
	assert_string_equal(place.id, ID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_place_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cursor_needs_no_escape_in_a_url, setup, teardown),
		cmocka_unit_test_setup_teardown(names_and_sequences_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_of_the_queue_comes_back_and_a_forged_one_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_cursor_of_another_list_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_list_gave_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(parts_that_are_no_time_or_id_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_time_that_is_not_written_as_ours_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sequence_with_zeros_before_it_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tag_is_taken_off_and_another_one_is_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
