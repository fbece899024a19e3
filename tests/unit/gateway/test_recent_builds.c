#include "tests/unit/unit.h"

#include "api-gateway/builds/recent_builds.h"
#include "common/base/clock.h"

#define A "00000000-0000-7000-8000-00000000000a"
#define B "00000000-0000-7000-8000-00000000000b"
#define OTHER_PARTITION "00000000-0000-7000-8000-00000000000c"

static struct recent_builds *recent;
static struct buffer found;
static struct recent_sight sight;

static int setup(void **state UNUSED)
{
	recent = recent_builds_new(2, 65536);
	buffer_init(&found, 1 << 20);
	return 0;
}

static int teardown(void **state UNUSED)
{
	recent_builds_free(recent);
	buffer_release(&found);
	return 0;
}

static bool has(const char *id)
{
	buffer_clear(&found);
	return recent_builds_find(recent, id, &found, &sight);
}

TEST(a_build_that_was_read_is_found)
{
	recent_builds_start(recent, 0, 10);
	recent_builds_add(recent, 0, 10, A, "{}", 2);
	assert_true(has(A));
	assert_string_equal(found.data, "{}");
	assert_false(sight.past);
	assert_false(has(B));
}

TEST(the_first_record_of_an_id_counts)
{
	recent_builds_start(recent, 0, 0);
	recent_builds_add(recent, 0, 0, A, "1", 1);
	recent_builds_add(recent, 0, 1, A, "2", 1);
	assert_true(has(A));
	assert_string_equal(found.data, "1");
}

TEST(what_postgres_showed_is_remembered)
{
	recent_builds_start(recent, 0, 0);
	recent_builds_add(recent, 0, 0, A, "1", 1);
	recent_builds_mark_shown(recent, A);
	recent_builds_mark_shown(recent, B);
	assert_true(has(A));
	assert_true(sight.past);
}

TEST(what_was_applied_is_past)
{
	recent_builds_start(recent, 0, 5);
	recent_builds_add(recent, 0, 5, A, "1", 1);
	recent_builds_add(recent, 0, 6, B, "2", 1);
	assert_int_equal(recent_builds_applied_until(recent, 0), -1);
	recent_builds_applied(recent, 0, 6);
	recent_builds_applied(recent, 0, 3); /* an older look */
	assert_int_equal(recent_builds_applied_until(recent, 0), 6);
	recent_builds_applied(recent, 1, 7);
	recent_builds_applied(recent, 9, 7); /* there is no such partition */
	assert_true(has(A));
	assert_true(sight.past);
	assert_int_equal(sight.offset, 5);
	assert_true(has(B));
	assert_false(sight.past);
}

TEST(it_covers_what_it_read_and_keeps)
{
	recent_builds_start(recent, 0, 10);
	assert_true(recent_builds_cover(recent, 0, 10, 10));
	assert_true(recent_builds_cover(recent, 0, 30, 20)); /* nothing to cover */
	assert_false(recent_builds_cover(recent, 0, 10, 11));
	recent_builds_add(recent, 0, 10, A, "1", 1);
	recent_builds_add(recent, 0, 11, NULL, NULL, 0); /* another type of record */
	assert_true(recent_builds_cover(recent, 0, 10, 12));
	assert_false(recent_builds_cover(recent, 0, 9, 12));
	assert_false(recent_builds_cover(recent, 1, 0, 1)); /* never begun */
}

TEST(the_oldest_go_first_and_are_not_covered_any_more)
{
	char value[1000] = {0}, id[UUID_TEXT_SIZE];
	recent_builds_start(recent, 0, 0);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012d", i);
		recent_builds_add(recent, 0, i, id, value, sizeof(value));
	}
	assert_true(has("00000000-0000-7000-8000-000000000099"));
	assert_false(has("00000000-0000-7000-8000-000000000000"));
	assert_false(recent_builds_cover(recent, 0, 0, 100));
	assert_true(recent_builds_cover(recent, 0, 99, 100));
}

TEST(a_build_too_large_to_keep_is_not_covered)
{
	static char value[32 * 1024];
	recent_builds_start(recent, 0, 0);
	recent_builds_add(recent, 0, 0, A, "1", 1);
	recent_builds_add(recent, 0, 1, B, value, sizeof(value));
	assert_true(has(A));
	assert_false(has(B));
	assert_false(recent_builds_cover(recent, 0, 1, 2));
	assert_true(recent_builds_cover(recent, 0, 2, 2));
}

TEST(beginning_again_elsewhere_forgets_what_was_covered)
{
	recent_builds_start(recent, 0, 0);
	recent_builds_add(recent, 0, 0, A, "1", 1);
	recent_builds_start(recent, 0, 1); /* where it was */
	assert_true(recent_builds_cover(recent, 0, 0, 1));
	recent_builds_start(recent, 0, 5);
	assert_false(recent_builds_cover(recent, 0, 0, 5));
	assert_true(has(A));
}

TEST(beginning_again_further_back_forgets_the_builds_from_there_on)
{
	recent_builds_start(recent, 0, 0);
	recent_builds_add(recent, 0, 0, A, "1", 1);
	recent_builds_add(recent, 0, 1, B, "2", 1);
	recent_builds_start(recent, 1, 0);
	recent_builds_add(recent, 1, 1, OTHER_PARTITION, "3", 1);
	recent_builds_start(recent, 0, 1);
	assert_true(has(A));
	assert_false(has(B));
	assert_true(has(OTHER_PARTITION));
	recent_builds_add(recent, 0, 1, B, "4", 1); /* what lies there now */
	assert_true(has(B));
	assert_string_equal(found.data, "4");
}

TEST(only_barriers_at_the_end_are_passed_over)
{
	recent_builds_start(recent, 0, 5);
	assert_int_equal(recent_builds_end(recent, 0, 5), 5);
	recent_builds_pass(recent, 0, 5);
	recent_builds_pass(recent, 0, 6);
	assert_int_equal(recent_builds_end(recent, 0, 7), 5); /* what lies below its beginning it does not know */
	assert_int_equal(recent_builds_end(recent, 0, 8), 8); /* not read yet */
	recent_builds_add(recent, 0, 7, A, "1", 1);
	recent_builds_pass(recent, 0, 8);
	assert_int_equal(recent_builds_end(recent, 0, 9), 8);
	assert_int_equal(recent_builds_end(recent, 0, 7), 7);
	recent_builds_add(recent, 0, 9, NULL, NULL, 0); /* a cancel */
	assert_int_equal(recent_builds_end(recent, 0, 10), 10);
	recent_builds_start(recent, 0, 6);
	assert_int_equal(recent_builds_end(recent, 0, 9), 9);
	assert_int_equal(recent_builds_end(recent, 0, 6), 6);
}

TEST(waiting_ends_at_the_deadline_or_at_the_offset)
{
	recent_builds_start(recent, 0, 0);
	assert_false(recent_builds_wait(recent, 0, 1, clock_boot_ms() + 5));
	recent_builds_add(recent, 0, 0, A, "1", 1);
	assert_true(recent_builds_wait(recent, 0, 1, clock_boot_ms()));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_build_that_was_read_is_found),
		T(the_first_record_of_an_id_counts),
		T(what_postgres_showed_is_remembered),
		T(what_was_applied_is_past),
		T(it_covers_what_it_read_and_keeps),
		T(the_oldest_go_first_and_are_not_covered_any_more),
		T(a_build_too_large_to_keep_is_not_covered),
		T(beginning_again_elsewhere_forgets_what_was_covered),
		T(beginning_again_further_back_forgets_the_builds_from_there_on),
		T(only_barriers_at_the_end_are_passed_over),
		T(waiting_ends_at_the_deadline_or_at_the_offset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
