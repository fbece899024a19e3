#include "tests/unit/unit.h"

#include "common/base/alloc.h"

TEST(an_empty_buffer_is_an_empty_string_without_memory)
{
	struct buffer buf;
	buffer_init(&buf, 10);
	assert_string_equal(buf.data, "");
	assert_int_equal(buf.size, 0);
	buffer_release(&buf);
}

TEST(release_takes_a_zeroed_struct)
{
	struct buffer buf = {0};
	buffer_release(&buf);
}

TEST(appends_follow_each_other_and_end_with_nul)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 1000);
	assert_int_equal(buffer_append(&buf, "ab", 2), 0);
	assert_int_equal(buffer_append_char(&buf, 'c'), 0);
	assert_int_equal(buffer_append_str(&buf, "de"), 0);
	assert_int_equal(buffer_appendf(&buf, "%d", 42), 0);
	assert_string_equal(buf.data, "abcde42");
	assert_int_equal(buf.len, 7);
}

TEST(an_append_may_fill_it_to_the_last_byte)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 3);
	assert_int_equal(buffer_append(&buf, "abc", 3), 0);
	assert_true(buffer_ok(&buf));
	assert_string_equal(buf.data, "abc");
}

TEST(an_append_past_the_maximum_appends_nothing)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 3);
	assert_int_equal(buffer_append(&buf, "ab", 2), 0);
	assert_int_equal(buffer_append(&buf, "cd", 2), -1);
	assert_string_equal(buf.data, "ab");
	assert_false(buffer_ok(&buf));
}

TEST(after_an_overflow_every_append_fails_until_clear)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 3);
	assert_int_equal(buffer_append_str(&buf, "abcd"), -1);
	assert_int_equal(buffer_append_char(&buf, 'a'), -1);
	assert_int_equal(buffer_append(&buf, "", 0), -1);
	assert_int_equal(buffer_appendf(&buf, "%s", ""), -1);
	assert_null(buffer_reserve(&buf, 1));
	buffer_clear(&buf);
	assert_int_equal(buffer_append_char(&buf, 'a'), 0);
	assert_true(buffer_ok(&buf));
}

TEST(a_formatted_append_past_the_maximum_leaves_no_trace)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 80);
	assert_int_equal(buffer_append_str(&buf, "abc"), 0);
	assert_int_equal(buffer_appendf(&buf, "%0100d", 1), -1);
	assert_string_equal(buf.data, "abc");
}

TEST(a_formatted_append_grows_for_any_length)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 10000);
	for (int width = 1; width < 130; width++) {
		buffer_clear(&buf);
		assert_int_equal(buffer_appendf(&buf, "%*d", width, 7), 0);
		assert_int_equal(buf.len, width);
		assert_int_equal(strlen(buf.data), width);
	}
}

TEST(growth_never_passes_maximum_and_nul)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buffer_append_char(&buf, 'x'), 0);
	assert_int_equal(buf.size, 101);
	assert_int_equal(buffer_append_char(&buf, 'x'), -1);
}

TEST(reserve_and_commit_append_what_was_written)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 10);
	char *room = buffer_reserve(&buf, 10);
	assert_non_null(room);
	for (int i = 0; i < 5; i++)
		room[i] = "hello"[i];
	buffer_commit(&buf, 5);
	assert_string_equal(buf.data, "hello");
	assert_null(buffer_reserve(&buf, 6));
	assert_non_null(buffer_reserve(&buf, 5));
	assert_true(buffer_ok(&buf));
}

static void commit_too_much(void *arg)
{
	struct buffer *buf = arg;
	buffer_commit(buf, 1000);
}

TEST(a_commit_of_more_than_was_reserved_aborts)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 10);
	assert_non_null(buffer_reserve(&buf, 10));
	unit_assert_aborts(commit_too_much, &buf);
}

TEST(consume_removes_from_the_front)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100);
	buffer_consume(&buf, 0);
	assert_int_equal(buffer_append_str(&buf, "abcdef"), 0);
	buffer_consume(&buf, 4);
	assert_string_equal(buf.data, "ef");
	buffer_consume(&buf, 2);
	assert_string_equal(buf.data, "");
}

TEST(truncate_removes_from_the_end)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100);
	buffer_truncate(&buf, 0);
	assert_int_equal(buffer_append_str(&buf, "abcdef"), 0);
	buffer_truncate(&buf, 2);
	assert_string_equal(buf.data, "ab");
}

TEST(detach_hands_over_the_bytes_and_leaves_it_empty)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100);
	assert_int_equal(buffer_append_str(&buf, "abc"), 0);
	size_t len = 0;
	CLEANUP(free_p) char *text = buffer_detach(&buf, &len);
	assert_string_equal(text, "abc");
	assert_int_equal(len, 3);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buffer_append_str(&buf, "again"), 0);
	assert_string_equal(text, "abc");
}

TEST(detach_of_an_empty_buffer_is_an_empty_string)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100);
	CLEANUP(free_p) char *text = buffer_detach(&buf, NULL);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buffer_is_an_empty_string_without_memory),
		cmocka_unit_test(release_takes_a_zeroed_struct),
		cmocka_unit_test(appends_follow_each_other_and_end_with_nul),
		cmocka_unit_test(an_append_may_fill_it_to_the_last_byte),
		cmocka_unit_test(an_append_past_the_maximum_appends_nothing),
		cmocka_unit_test(after_an_overflow_every_append_fails_until_clear),
		cmocka_unit_test(a_formatted_append_past_the_maximum_leaves_no_trace),
		cmocka_unit_test(a_formatted_append_grows_for_any_length),
		cmocka_unit_test(growth_never_passes_maximum_and_nul),
		cmocka_unit_test(reserve_and_commit_append_what_was_written),
		cmocka_unit_test(a_commit_of_more_than_was_reserved_aborts),
		cmocka_unit_test(consume_removes_from_the_front),
		cmocka_unit_test(truncate_removes_from_the_end),
		cmocka_unit_test(detach_hands_over_the_bytes_and_leaves_it_empty),
		cmocka_unit_test(detach_of_an_empty_buffer_is_an_empty_string),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
