/* One inbox against a real Kafka and Postgres. Each test has a topic and a consumer of its own. */
#include "inbox_member.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"

#define PARTITIONS 3

static struct test_database database;
static struct kafka_producer *producer;

/* Of the running test. */
static char *topic;
static char *consumer;
static int sent;

static int set_up_all(void **state)
{
	(void)state;
	test_database_init(&database);
	member_tables(&database);
	producer = test_producer();
	return 0;
}

static int tear_down_all(void **state)
{
	(void)state;
	kafka_producer_free(producer, 1000);
	test_database_release(&database);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	topic = test_name("inbox");
	consumer = test_name("consumer");
	test_topic(topic, PARTITIONS, (const char *const[]){"max.message.bytes", "8388608", NULL});
	test_offset_rows(&database, consumer, topic, PARTITIONS);
	test_sql(&database, "TRUNCATE applied; TRUNCATE outbox; TRUNCATE dead_letters");
	sent = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(topic);
	free(consumer);
	return 0;
}

/* Record n goes to partition n % PARTITIONS with the id "r<n>". */
static void send_next(const char *say)
{
	char id[16];
	(void)snprintf(id, sizeof(id), "r%d", sent);
	test_send(producer, topic, sent % PARTITIONS, id, id, "test", say);
	sent++;
}

/* So many to each partition. */
static void send_rounds(int rounds)
{
	for (int i = 0; i < rounds * PARTITIONS; i++)
		send_next("x");
}

static void on_sent(void *ctx, const struct kafka_delivery *delivery)
{
	*(_Atomic int *)ctx += delivery->outcome == ERR_NONE;
}

static void send_many(int count)
{
	_Atomic int acknowledged = 0;
	struct error err = ERROR_INIT;
	for (int i = 0; i < count; i++) {
		char id[16];
		(void)snprintf(id, sizeof(id), "r%d", sent);
		const struct cloudevent event = {.id = id, .type = "test", .source = "/kiln/test", .subject = id};
		const struct kafka_message message = {.topic = topic,
											  .partition = sent % PARTITIONS,
											  .key = id,
											  .key_len = strlen(id),
											  .data = "{}",
											  .data_len = 2,
											  .event = &event};
		assert_ok(kafka_produce(producer, &message, on_sent, &acknowledged, &err), err);
		sent++;
	}
	assert_becomes(acknowledged == count, 60000);
}

static void start(struct member *member)
{
	member_start(member, &database, consumer, (const char *const[]){topic}, 1, 0);
}

static int64_t stored_offsets(void)
{
	char *sql = xasprintf("SELECT sum(next_offset) FROM consumer_offsets WHERE consumer = '%s'", consumer);
	int64_t sum = test_sql_int(&database, sql);
	free(sql);
	return sum;
}

static int64_t applied_of(int partition)
{
	char *sql = xasprintf("SELECT count(*) FROM applied WHERE partition = %d", partition);
	int64_t rows = test_sql_int(&database, sql);
	free(sql);
	return rows;
}

static void set_offset(int partition, int64_t next, const char *ce_id)
{
	char *sql = xasprintf(
		"UPDATE consumer_offsets SET next_offset = %lld, last_ce_id = %s%s%s "
		"WHERE consumer = '%s' AND partition = %d",
		(long long)next, ce_id == NULL ? "" : "'", ce_id == NULL ? "NULL" : ce_id, ce_id == NULL ? "" : "'", consumer,
		partition);
	test_sql(&database, sql);
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

static void what_somebody_waits_for_takes_only_its_own_partition_along(void **state)
{
	(void)state;
	struct member member;
	member_start_patient(&member, &database, consumer, (const char *const[]){topic}, 1);
	test_send(producer, topic, 0, "a", "a", "test", "{}");
	test_send(producer, topic, 1, "b", "b", "test", SAY_URGENT);
	assert_becomes(applied_rows(&database) == 1, 60000);
	assert_int_equal(test_sql_int(&database, "SELECT count(*) FROM applied WHERE ce_id = 'b'"), 1);
	test_send(producer, topic, 0, "c", "c", "test", SAY_URGENT);
	assert_becomes(applied_rows(&database) == 3, 60000);
	assert_int_equal(stored_offsets(), 3);
	member_stop(&member);
}

static void every_record_is_applied_once_with_its_offset(void **state)
{
	(void)state;
	struct member member;
	send_many(500);
	start(&member);
	assert_becomes(applied_rows(&database) == 500, 60000);
	send_many(100);
	assert_becomes(applied_rows(&database) == 600, 60000);
	assert_int_equal(applied_distinct(&database), 600);
	assert_int_equal(stored_offsets(), 600);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	assert_becomes(member.committed == 600, 60000);
	assert_true(member.ticks > 0);
	assert_int_equal(member.taken, PARTITIONS);
	member_stop(&member);
	char *ce_id = test_sql_text(
		&database, "SELECT last_ce_id FROM consumer_offsets WHERE partition = 2 ORDER BY updated_at DESC LIMIT 1");
	assert_string_equal(ce_id, "r599");
	free(ce_id);
	assert_int_equal(test_sql_int(&database, "SELECT count(*) FROM consumer_offsets WHERE cluster_id IS NULL"), 0);
}

static void a_restart_goes_on_behind_the_last_record(void **state)
{
	(void)state;
	struct member member;
	for (int round = 1; round <= 3; round++) {
		send_many(30);
		start(&member);
		assert_becomes(applied_rows(&database) == 30L * round, 60000);
		member_stop(&member);
	}
	assert_int_equal(applied_distinct(&database), 90);
	assert_int_equal(stored_offsets(), 90);
}

static void the_lost_answer_of_a_commit_changes_nothing(void **state)
{
	(void)state;
	struct member member;
	member_start(&member, &database, consumer, (const char *const[]){topic}, 1, 300);
	send_next("a");
	send_next(SAY_SLOW_COMMIT);
	send_next("b");
	send_many(20);
	assert_becomes(stored_offsets() == 23, 60000);
	assert_int_equal(applied_rows(&database), 23);
	assert_int_equal(applied_distinct(&database), 23);
	member_stop(&member);
}

static void connections_that_die_all_the_time_change_nothing(void **state)
{
	(void)state;
	struct member member;
	start(&member);
	int64_t until_ms = test_now_ms() + 4000;
	while (test_now_ms() < until_ms) {
		send_many(50);
		test_sql(&database,
				 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
				 "AND pid <> pg_backend_pid()");
	}
	assert_becomes(stored_offsets() == sent, 60000);
	assert_int_equal(applied_rows(&database), sent);
	assert_int_equal(applied_distinct(&database), sent);
	printf("# %d records, %d tries\n", sent, member.applied);
	member_stop(&member);
}

static void moved_offsets_are_read_again(void **state)
{
	(void)state;
	struct member member;
	char *url;
	char *role = test_role(&database, "consumer_offsets", &url);
	struct pg_settings settings = test_pg(&database);
	/* Of another role: sessions of its own that hold a lock for long are ended by the inbox's watch. */
	settings.url = url;
	settings.idle_in_transaction_timeout_ms = 60000;
	struct pg_conn *other = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	send_rounds(1);
	start(&member);
	assert_becomes(stored_offsets() == PARTITIONS, 60000);
	/* Another instance applies the records 1 to 3 of partition 0; its lock keeps the inbox from being first. */
	assert_ok(pg_begin(other, &err), err);
	char *sql = xasprintf(
		"UPDATE consumer_offsets SET next_offset = 4, last_ce_id = 'r9' WHERE consumer = '%s' AND partition = 0",
		consumer);
	assert_ok(pg_run(other, sql, &err), err);
	free(sql);
	send_rounds(6);
	assert_ok(pg_commit(other, &err), err);
	pg_conn_free(other);
	test_drop_role(&database, role);
	free(role);
	free(url);
	assert_becomes(stored_offsets() == sent, 60000);
	assert_int_equal(applied_rows(&database), sent - 3);
	assert_int_equal(applied_distinct(&database), sent - 3);
	assert_int_equal(
		test_sql_int(&database, "SELECT min(record_offset) FROM applied WHERE partition = 0 AND record_offset > 0"), 4);
	assert_int_equal(member.taken, PARTITIONS); /* the group has not changed */
	member_stop(&member);
}

static void poison_is_isolated_and_becomes_a_dead_letter(void **state)
{
	(void)state;
	struct member member;
	for (int i = 0; i < 60; i++)
		send_next(i == 17 ? SAY_POISON_SQL : i == 33 ? SAY_POISON_INVALID : "good");
	start(&member);
	assert_becomes(stored_offsets() == 60, 60000);
	assert_int_equal(applied_rows(&database), 58);
	assert_int_equal(applied_distinct(&database), 58);
	member_stop(&member);
	assert_int_equal(member.committed, 58); /* said after the commit that the database shows */
	assert_int_equal(test_sql_int(&database, "SELECT count(*) FROM dead_letters"), 2);
	char *text =
		test_sql_text(&database,
					  "SELECT concat_ws('|', topic, partition, record_offset, convert_from(key, 'UTF8'), "
					  "convert_from(value, 'UTF8'), sqlstate) FROM dead_letters ORDER BY record_offset LIMIT 1");
	char *expected = xasprintf("%s|2|5|r17|" SAY_POISON_SQL "|22P02", topic);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
	/* The headers can be read as text again. */
	text = test_sql_text(&database,
						 "SELECT convert_from(decode(header ->> 1, 'base64'), 'UTF8') FROM dead_letters, "
						 "jsonb_array_elements(headers) AS header WHERE header ->> 0 = 'ce_id' AND sqlstate IS NULL");
	assert_string_equal(text, "r33");
	free(text);
	text = test_sql_text(&database,
						 "SELECT string_agg(key, ',' ORDER BY key) FROM outbox WHERE topic = 'kiln.dead-letters'");
	expected = xasprintf("%s/0/11,%s/2/5", topic, topic);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
}

static void a_batch_that_takes_too_long_is_applied_in_parts(void **state)
{
	(void)state;
	struct member member;
	for (int i = 0; i < 12; i++) {
		sent = i * PARTITIONS; /* in one partition: what is read once is read together again */
		send_next(SAY_TOO_MUCH);
	}
	start(&member);
	assert_becomes(stored_offsets() == 12, 60000);
	assert_int_equal(applied_distinct(&database), 12);
	assert_int_equal(test_sql_int(&database, "SELECT count(*) FROM dead_letters"), 0);
	member_stop(&member);
}

static void a_record_without_headers_is_poison_too(void **state)
{
	(void)state;
	struct member member;
	rd_kafka_headers_t *none = rd_kafka_headers_new(1);
	const struct kafka_message message = {.topic = topic,
										  .partition = 0,
										  .key = "\xff\x00k",
										  .key_len = 3,
										  .data = "\x00\xfe",
										  .data_len = 2,
										  .headers = none};
	struct error err = ERROR_INIT;
	assert_ok(kafka_produce_wait(producer, &message, test_now_ms() + 60000, &err), err);
	rd_kafka_headers_destroy(none);
	sent = PARTITIONS;
	send_next("good");
	start(&member);
	assert_becomes(stored_offsets() == 2, 60000);
	assert_int_equal(applied_rows(&database), 1);
	char *text = test_sql_text(&database, "SELECT encode(key, 'hex') || encode(value, 'hex') FROM dead_letters");
	assert_string_equal(text, "ff006b00fe");
	free(text);
	member_stop(&member);
}

static void a_record_whose_headers_grow_when_they_are_written_is_poison_too(void **state)
{
	(void)state;
	const size_t name_len = (size_t)2 * 1024 * 1024;
	struct member member;
	char *name = xmalloc(name_len + 1);
	memset(name, 1, name_len); /* six bytes of JSON each */
	name[name_len] = '\0';
	rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
	assert_int_equal(rd_kafka_header_add(headers, name, (ssize_t)name_len, NULL, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
	const struct kafka_message message = {.topic = topic, .data = "x", .data_len = 1, .headers = headers};
	struct error err = ERROR_INIT;
	assert_ok(kafka_produce_wait(producer, &message, test_now_ms() + 60000, &err), err);
	rd_kafka_headers_destroy(headers);
	free(name);
	sent = PARTITIONS;
	send_next("good");
	start(&member);
	assert_becomes(stored_offsets() == 2, 60000);
	assert_int_equal(applied_rows(&database), 1);
	assert_int_equal(test_sql_int(&database, "SELECT length(headers -> 0 ->> 0) FROM dead_letters"), name_len);
	member_stop(&member);
}

static void a_log_that_ends_below_the_offset_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	set_offset(1, 100, "r298");
	start(&member);
	assert_becomes(applied_rows(&database) == 8, 60000);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_int_equal(applied_of(1), 0);
	/* New records do not bring it back to life. */
	send_rounds(3);
	assert_becomes(applied_rows(&database) == 14, 60000);
	assert_int_equal(applied_of(1), 0);
	/* kiln-migrate rewind does. */
	set_offset(1, 0, NULL);
	assert_becomes(applied_rows(&database) == 21, 60000);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	assert_int_equal(applied_distinct(&database), 21);
	member_stop(&member);
}

/* As when a broker that stood still has told the end that it had known. */
static void a_log_that_is_as_long_as_the_offset_again_is_read_on(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	set_offset(1, 6, "r16");
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	send_rounds(3);
	assert_becomes(applied_of(1) == 1, 60000);
	assert_int_equal(test_sql_int(&database, "SELECT record_offset FROM applied WHERE ce_id = 'r19'"), 6);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	member_stop(&member);
}

static void a_log_that_is_as_long_again_with_another_record_or_none_to_compare_stays_stopped(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	set_offset(0, 6, "somebody-else");
	set_offset(1, 6, NULL);
	set_offset(2, 6, "r17");
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	send_rounds(3);
	/* All three were looked at when the third one is read. */
	assert_becomes(applied_of(2) == 1, 60000);
	send_rounds(1);
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
	send_rounds(4);
	set_offset(1, 6, "somebody-else");
	set_offset(2, 6, "r17");
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	send_rounds(2);
	test_delete_records(topic, 1, 6);
	send_rounds(1);
	/* Both were looked at when the other one is read. */
	assert_becomes(applied_of(2) == 1, 60000);
	send_rounds(1);
	assert_becomes(applied_of(2) == 2, 60000);
	assert_int_equal(applied_of(1), 0);
	assert_true(why_not_ready(&member, "stopped"));
	member_stop(&member);
}

static void a_log_that_starts_above_the_offset_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	test_delete_records(topic, 2, 2);
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_becomes(applied_rows(&database) == 8, 60000);
	assert_int_equal(applied_of(2), 0);
	member_stop(&member);
}

static void another_log_in_the_same_place_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	/* The log was shorter for a while and has grown again: the record before the offset is another one. */
	set_offset(0, 2, "somebody-else");
	set_offset(1, 2, "r4");
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_becomes(applied_rows(&database) == 6, 60000);
	assert_int_equal(applied_of(0), 0);
	assert_int_equal(applied_of(1), 2);
	member_stop(&member);
}

static void retention_up_to_the_offset_is_no_reason_to_stop(void **state)
{
	(void)state;
	struct member member;
	send_rounds(4);
	test_delete_records(topic, 0, 3);
	set_offset(0, 3, "was-deleted");
	start(&member);
	assert_becomes(applied_rows(&database) == 9, 60000);
	assert_int_equal(applied_of(0), 1);
	member_stop(&member);
}

static void another_cluster_stops_everything(void **state)
{
	(void)state;
	struct member member;
	send_next("x");
	char *sql = xasprintf("UPDATE consumer_offsets SET cluster_id = 'other' WHERE consumer = '%s'", consumer);
	test_sql(&database, sql);
	free(sql);
	start(&member);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	assert_int_equal(applied_rows(&database), 0);
	member_stop(&member);
}

static void a_missing_offset_row_stops_the_partition(void **state)
{
	(void)state;
	struct member member;
	send_next("x");
	send_next("x");
	char *sql = xasprintf("DELETE FROM consumer_offsets WHERE consumer = '%s' AND partition = 0", consumer);
	test_sql(&database, sql);
	free(sql);
	start(&member);
	assert_becomes(applied_rows(&database) == 1, 60000);
	assert_becomes(why_not_ready(&member, "stopped"), 60000);
	member_stop(&member);
}

static void records_are_applied_soon(void **state)
{
	(void)state;
	struct member member;
	start(&member);
	assert_becomes(member.taken == PARTITIONS, 60000);
	send_many(30);
	assert_becomes(member.committed == 30, 60000);
	int64_t total_us = 0;
	int late = 0; /* a busy machine may make some so; the others show the inbox */
	for (int i = 0; i < 100; i++) {
		send_next("x");
		int64_t began_us = clock_boot_us();
		while (member.committed != 31 + i) {
			assert_true(clock_boot_us() - began_us < INT64_C(60000000));
			(void)sched_yield(); /* it only gives others room */
		}
		int64_t took_us = clock_boot_us() - began_us;
		late += took_us >= 500000;
		total_us += took_us;
	}
	printf("# acknowledged to committed: %d us on average\n", (int)(total_us / 100));
	assert_true(late < 50);
	member_stop(&member);
}

static void many_records_are_applied_fast(void **state)
{
	(void)state;
	struct member member;
	send_many(20000);
	int64_t began_ms = test_now_ms();
	start(&member);
	assert_becomes(member.committed == 20000, 60000);
	printf("# 20000 records in %d ms\n", (int)(test_now_ms() - began_ms));
	assert_int_equal(applied_distinct(&database), 20000);
	member_stop(&member);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_record_is_applied_once_with_its_offset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_somebody_waits_for_takes_only_its_own_partition_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_restart_goes_on_behind_the_last_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_lost_answer_of_a_commit_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_that_die_all_the_time_change_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(moved_offsets_are_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(poison_is_isolated_and_becomes_a_dead_letter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_that_takes_too_long_is_applied_in_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_record_without_headers_is_poison_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_record_whose_headers_grow_when_they_are_written_is_poison_too, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_ends_below_the_offset_stops_the_partition, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_is_as_long_as_the_offset_again_is_read_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_log_that_is_as_long_again_with_another_record_or_none_to_compare_stays_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_is_as_long_again_without_the_record_before_the_offset_stays_stopped,
										set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_starts_above_the_offset_stops_the_partition, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_log_in_the_same_place_stops_the_partition, set_up, tear_down),
		cmocka_unit_test_setup_teardown(retention_up_to_the_offset_is_no_reason_to_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_cluster_stops_everything, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_missing_offset_row_stops_the_partition, set_up, tear_down),
		cmocka_unit_test_setup_teardown(records_are_applied_soon, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_records_are_applied_fast, set_up, tear_down),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
