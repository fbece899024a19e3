/* Whether the log is the one that was read: what makes an inbox stop a partition, and what has it go on. */
#include "inbox_place.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

static int64_t applied_of(int partition)
{
	char *sql = xasprintf("SELECT count(*) FROM applied WHERE partition = %d", partition);
	int64_t rows = test_sql_int(&place.database, sql);
	free(sql);
	return rows;
}

static void set_offset(int partition, int64_t next, const char *ce_id)
{
	char *sql = xasprintf(
		"UPDATE consumer_offsets SET next_offset = %lld, last_ce_id = %s%s%s "
		"WHERE consumer = '%s' AND partition = %d",
		(long long)next, ce_id == NULL ? "" : "'", ce_id == NULL ? "NULL" : ce_id, ce_id == NULL ? "" : "'",
		place.consumer, partition);
	test_sql(&place.database, sql);
	free(sql);
}

static bool why_not_ready(struct member *member, const char *text)
{
	struct buffer why;
	buffer_init(&why, 1024);
	bool ready = inbox_ready(member->inbox, &why);
	bool found = !ready && why.len > 0 && strstr(why.data, text) != NULL;
	buffer_release(&why);
	return found;
}

static void a_log_that_ends_below_the_offset_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	set_offset(1, 100, "r298");
	place_start(&member);
	assert_becomes(applied_rows(&place.database) == 8, 60000);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_int_equal(applied_of(1), 0);
	/* New records do not bring it back to life. */
	place_send_rounds(3);
	assert_becomes(applied_rows(&place.database) == 14, 60000);
	assert_int_equal(applied_of(1), 0);
	/* kiln-migrate rewind does. */
	set_offset(1, 0, NULL);
	assert_becomes(applied_rows(&place.database) == 21, 60000);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	assert_int_equal(applied_distinct(&place.database), 21);
	member_stop(&member);
}

/* As when a broker that stood still has told the end that it had known. */
static void a_log_that_is_as_long_as_the_offset_again_is_read_on(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	set_offset(1, 6, "r16");
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	place_send_rounds(3);
	assert_becomes(applied_of(1) == 1, 60000);
	assert_int_equal(test_sql_int(&place.database, "SELECT record_offset FROM applied WHERE ce_id = 'r19'"), 6);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	member_stop(&member);
}

static void a_log_that_is_as_long_again_with_another_record_or_none_to_compare_stays_stopped(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	set_offset(0, 6, "somebody-else");
	set_offset(1, 6, NULL);
	set_offset(2, 6, "r17");
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	place_send_rounds(3);
	/* All three were looked at when the third one is read. */
	assert_becomes(applied_of(2) == 1, 60000);
	place_send_rounds(1);
	assert_becomes(applied_of(2) == 2, 60000);
	assert_int_equal(applied_of(0) + applied_of(1), 0);
	assert_true(why_not_ready(&member, "stopped"));
	member_stop(&member);
}

/* What came meanwhile may be another log's, and nothing is left to compare. */
static void a_log_that_is_as_long_again_without_the_record_before_the_offset_stays_stopped(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	set_offset(1, 6, "somebody-else");
	set_offset(2, 6, "r17");
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	place_send_rounds(2);
	test_delete_records(place.topic, 1, 6);
	place_send_rounds(1);
	/* Both were looked at when the other one is read. */
	assert_becomes(applied_of(2) == 1, 60000);
	place_send_rounds(1);
	assert_becomes(applied_of(2) == 2, 60000);
	assert_int_equal(applied_of(1), 0);
	assert_true(why_not_ready(&member, "stopped"));
	member_stop(&member);
}

static void a_log_that_starts_above_the_offset_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	test_delete_records(place.topic, 2, 2);
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_becomes(applied_rows(&place.database) == 8, 60000);
	assert_int_equal(applied_of(2), 0);
	member_stop(&member);
}

static void another_log_in_the_same_place_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	/* The log was shorter for a while and has grown again: the record before the offset is another one. */
	set_offset(0, 2, "somebody-else");
	set_offset(1, 2, "r4");
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_becomes(applied_rows(&place.database) == 6, 60000);
	assert_int_equal(applied_of(0), 0);
	assert_int_equal(applied_of(1), 2);
	member_stop(&member);
}

static void retention_up_to_the_offset_is_no_reason_to_stop(void **state)
{
	(void)state;
	struct member member;
	place_send_rounds(4);
	test_delete_records(place.topic, 0, 3);
	set_offset(0, 3, "was-deleted");
	place_start(&member);
	assert_becomes(applied_rows(&place.database) == 9, 60000);
	assert_int_equal(applied_of(0), 1);
	member_stop(&member);
}

static void another_cluster_stops_everything(void **state)
{
	(void)state;
	struct member member;
	place_send("x");
	char *sql = xasprintf("UPDATE consumer_offsets SET cluster_id = 'other' WHERE consumer = '%s'", place.consumer);
	test_sql(&place.database, sql);
	free(sql);
	place_start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_int_equal(applied_rows(&place.database), 0);
	member_stop(&member);
}

static void a_missing_offset_row_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	place_send("x");
	place_send("x");
	char *sql = xasprintf("DELETE FROM consumer_offsets WHERE consumer = '%s' AND partition = 0", place.consumer);
	test_sql(&place.database, sql);
	free(sql);
	place_start(&member);
	assert_becomes(applied_rows(&place.database) == 1, 60000);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	member_stop(&member);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_log_that_ends_below_the_offset_stops_the_partition, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_is_as_long_as_the_offset_again_is_read_on, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(
			a_log_that_is_as_long_again_with_another_record_or_none_to_compare_stays_stopped, place_set_up,
			place_tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_is_as_long_again_without_the_record_before_the_offset_stays_stopped,
										place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_starts_above_the_offset_stops_the_partition, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(another_log_in_the_same_place_stops_the_partition, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(retention_up_to_the_offset_is_no_reason_to_stop, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(another_cluster_stops_everything, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(a_missing_offset_row_stops_the_partition, place_set_up, place_tear_down),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, place_set_up_all, place_tear_down_all);
}
