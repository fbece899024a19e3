/* One inbox against a real Kafka and Postgres: what it applies, and what becomes of what cannot be applied. */
#include "inbox_place.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"

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
		(void)snprintf(id, sizeof(id), "r%d", place.sent);
		const struct cloudevent event = {.id = id, .type = "test", .source = "/kiln/test", .subject = id};
		const struct kafka_message message = {.topic = place.topic,
											  .partition = place.sent % PLACE_PARTITIONS,
											  .key = id,
											  .key_len = strlen(id),
											  .data = "{}",
											  .data_len = 2,
											  .event = &event};
		assert_ok(kafka_produce(place.producer, &message, on_sent, &acknowledged, &err), err);
		place.sent++;
	}
	assert_becomes(acknowledged == count, 60000);
}

static void what_somebody_waits_for_takes_only_its_own_partition_along(void **state)
{
	(void)state;
	struct member member;
	member_start_patient(&member, &place.database, place.consumer, (const char *const[]){place.topic}, 1);
	test_send(place.producer, place.topic, 0, "a", "a", "test", "{}");
	test_send(place.producer, place.topic, 1, "b", "b", "test", SAY_URGENT);
	assert_becomes(applied_rows(&place.database) == 1, 60000);
	assert_int_equal(test_sql_int(&place.database, "SELECT count(*) FROM applied WHERE ce_id = 'b'"), 1);
	test_send(place.producer, place.topic, 0, "c", "c", "test", SAY_URGENT);
	assert_becomes(applied_rows(&place.database) == 3, 60000);
	assert_int_equal(place_stored_offsets(), 3);
	member_stop(&member);
}

static void every_record_is_applied_once_with_its_offset(void **state)
{
	(void)state;
	struct member member;
	send_many(500);
	place_start(&member);
	assert_becomes(applied_rows(&place.database) == 500, 60000);
	send_many(100);
	assert_becomes(applied_rows(&place.database) == 600, 60000);
	assert_int_equal(applied_distinct(&place.database), 600);
	assert_int_equal(place_stored_offsets(), 600);
	assert_becomes(inbox_ready(member.inbox, NULL), 60000);
	assert_becomes(member.committed == 600, 60000);
	assert_true(member.ticks > 0);
	assert_int_equal(member.taken, PLACE_PARTITIONS);
	member_stop(&member);
	char *ce_id =
		test_sql_text(&place.database,
					  "SELECT last_ce_id FROM consumer_offsets WHERE partition = 2 ORDER BY updated_at DESC LIMIT 1");
	assert_string_equal(ce_id, "r599");
	free(ce_id);
	assert_int_equal(test_sql_int(&place.database, "SELECT count(*) FROM consumer_offsets WHERE cluster_id IS NULL"),
					 0);
}

static void a_restart_goes_on_behind_the_last_record(void **state)
{
	(void)state;
	struct member member;
	for (int round = 1; round <= 3; round++) {
		send_many(30);
		place_start(&member);
		assert_becomes(applied_rows(&place.database) == 30L * round, 60000);
		member_stop(&member);
	}
	assert_int_equal(applied_distinct(&place.database), 90);
	assert_int_equal(place_stored_offsets(), 90);
}

static void the_lost_answer_of_a_commit_changes_nothing(void **state)
{
	(void)state;
	struct member member;
	member_start(&member, &place.database, place.consumer, (const char *const[]){place.topic}, 1, 300);
	place_send("a");
	place_send(SAY_SLOW_COMMIT);
	place_send("b");
	send_many(20);
	assert_becomes(place_stored_offsets() == 23, 60000);
	assert_int_equal(applied_rows(&place.database), 23);
	assert_int_equal(applied_distinct(&place.database), 23);
	member_stop(&member);
}

static void connections_that_die_all_the_time_change_nothing(void **state)
{
	(void)state;
	struct member member;
	place_start(&member);
	int64_t until_ms = test_now_ms() + 4000;
	while (test_now_ms() < until_ms) {
		send_many(50);
		test_sql(&place.database,
				 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
				 "AND pid <> pg_backend_pid()");
	}
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent);
	assert_int_equal(applied_distinct(&place.database), place.sent);
	printf("# %d records, %d tries\n", place.sent, member.applied);
	member_stop(&member);
}

static void moved_offsets_are_read_again(void **state)
{
	(void)state;
	struct member member;
	char *url;
	char *role = test_role(&place.database, "consumer_offsets", &url);
	struct pg_settings settings = test_pg(&place.database);
	/* Of another role: sessions of its own that hold a lock for long are ended by the inbox's watch. */
	settings.url = url;
	settings.idle_in_transaction_timeout_ms = 60000;
	struct pg_conn *other = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	place_send_rounds(1);
	place_start(&member);
	assert_becomes(place_stored_offsets() == PLACE_PARTITIONS, 60000);
	/* Another instance applies the records 1 to 3 of partition 0; its lock keeps the inbox from being first. */
	assert_ok(pg_begin(other, &err), err);
	char *sql = xasprintf(
		"UPDATE consumer_offsets SET next_offset = 4, last_ce_id = 'r9' WHERE consumer = '%s' AND partition = 0",
		place.consumer);
	assert_ok(pg_run(other, sql, &err), err);
	free(sql);
	place_send_rounds(6);
	assert_ok(pg_commit(other, &err), err);
	pg_conn_free(other);
	test_drop_role(&place.database, role);
	free(role);
	free(url);
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent - 3);
	assert_int_equal(applied_distinct(&place.database), place.sent - 3);
	assert_int_equal(test_sql_int(&place.database,
								  "SELECT min(record_offset) FROM applied WHERE partition = 0 AND record_offset > 0"),
					 4);
	assert_int_equal(member.taken, PLACE_PARTITIONS); /* the group has not changed */
	member_stop(&member);
}

static void poison_is_isolated_and_becomes_a_dead_letter(void **state)
{
	(void)state;
	struct member member;
	for (int i = 0; i < 60; i++)
		place_send(i == 17 ? SAY_POISON_SQL : i == 33 ? SAY_POISON_INVALID : "good");
	place_start(&member);
	assert_becomes(place_stored_offsets() == 60, 60000);
	assert_int_equal(applied_rows(&place.database), 58);
	assert_int_equal(applied_distinct(&place.database), 58);
	member_stop(&member);
	assert_int_equal(member.committed, 58); /* said after the commit that the database shows */
	assert_int_equal(test_sql_int(&place.database, "SELECT count(*) FROM dead_letters"), 2);
	char *text =
		test_sql_text(&place.database,
					  "SELECT concat_ws('|', topic, partition, record_offset, convert_from(key, 'UTF8'), "
					  "convert_from(value, 'UTF8'), sqlstate) FROM dead_letters ORDER BY record_offset LIMIT 1");
	char *expected = xasprintf("%s|2|5|r17|" SAY_POISON_SQL "|22P02", place.topic);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
	/* The headers can be read as text again. */
	text = test_sql_text(&place.database,
						 "SELECT convert_from(decode(header ->> 1, 'base64'), 'UTF8') FROM dead_letters, "
						 "jsonb_array_elements(headers) AS header WHERE header ->> 0 = 'ce_id' AND sqlstate IS NULL");
	assert_string_equal(text, "r33");
	free(text);
	text = test_sql_text(&place.database,
						 "SELECT string_agg(key, ',' ORDER BY key) FROM outbox WHERE topic = 'kiln.dead-letters'");
	expected = xasprintf("%s/0/11,%s/2/5", place.topic, place.topic);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
}

static void a_batch_that_takes_too_long_is_applied_in_parts(void **state)
{
	(void)state;
	struct member member;
	for (int i = 0; i < 12; i++) {
		place.sent = i * PLACE_PARTITIONS; /* in one partition: what is read once is read together again */
		place_send(SAY_TOO_MUCH);
	}
	place_start(&member);
	assert_becomes(place_stored_offsets() == 12, 60000);
	assert_int_equal(applied_distinct(&place.database), 12);
	assert_int_equal(test_sql_int(&place.database, "SELECT count(*) FROM dead_letters"), 0);
	member_stop(&member);
}

static void a_record_without_headers_or_a_value_is_poison_too(void **state)
{
	(void)state;
	struct member member;
	rd_kafka_headers_t *none = rd_kafka_headers_new(1);
	const struct kafka_message message = {.topic = place.topic,
										  .partition = 0,
										  .key = "\xff\x00k",
										  .key_len = 3,
										  .data = "\x00\xfe",
										  .data_len = 2,
										  .headers = none};
	struct error err = ERROR_INIT;
	assert_ok(kafka_produce_wait(place.producer, &message, test_now_ms() + 60000, &err), err);
	struct kafka_message tombstone = message;
	tombstone.data = NULL;
	tombstone.data_len = 0;
	assert_ok(kafka_produce_wait(place.producer, &tombstone, test_now_ms() + 60000, &err), err);
	rd_kafka_headers_destroy(none);
	place.sent = PLACE_PARTITIONS;
	place_send("good");
	place_start(&member);
	assert_becomes(place_stored_offsets() == 3, 60000);
	assert_int_equal(applied_rows(&place.database), 1);
	char *text = test_sql_text(&place.database,
							   "SELECT encode(key, 'hex') || encode(value, 'hex') FROM dead_letters "
							   "WHERE value IS NOT NULL");
	assert_string_equal(text, "ff006b00fe");
	free(text);
	assert_int_equal(test_sql_int(&place.database, "SELECT count(*) FROM dead_letters"), 2);
	text =
		test_sql_text(&place.database,
					  "SELECT string_agg(encode(body, 'hex') || coalesce(record ->> 'value_is_null', ''), '|' ORDER BY "
					  "key) FROM outbox WHERE topic = 'kiln.dead-letters'");
	assert_string_equal(text, "00fe|true");
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
	const struct kafka_message message = {.topic = place.topic, .data = "x", .data_len = 1, .headers = headers};
	struct error err = ERROR_INIT;
	assert_ok(kafka_produce_wait(place.producer, &message, test_now_ms() + 60000, &err), err);
	rd_kafka_headers_destroy(headers);
	free(name);
	place.sent = PLACE_PARTITIONS;
	place_send("good");
	place_start(&member);
	assert_becomes(place_stored_offsets() == 2, 60000);
	assert_int_equal(applied_rows(&place.database), 1);
	assert_int_equal(test_sql_int(&place.database, "SELECT length(headers -> 0 ->> 0) FROM dead_letters"), name_len);
	member_stop(&member);
}

static void records_are_applied_soon(void **state)
{
	(void)state;
	struct member member;
	place_start(&member);
	assert_becomes(member.taken == PLACE_PARTITIONS, 60000);
	send_many(30);
	assert_becomes(member.committed == 30, 60000);
	int64_t total_us = 0;
	int late = 0; /* a busy machine may make some so; the others show the inbox */
	for (int i = 0; i < 100; i++) {
		place_send("x");
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
	place_start(&member);
	assert_becomes(member.committed == 20000, 60000);
	printf("# 20000 records in %d ms\n", (int)(test_now_ms() - began_ms));
	assert_int_equal(applied_distinct(&place.database), 20000);
	member_stop(&member);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_record_is_applied_once_with_its_offset, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(what_somebody_waits_for_takes_only_its_own_partition_along, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(a_restart_goes_on_behind_the_last_record, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(the_lost_answer_of_a_commit_changes_nothing, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(connections_that_die_all_the_time_change_nothing, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(moved_offsets_are_read_again, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(poison_is_isolated_and_becomes_a_dead_letter, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(a_batch_that_takes_too_long_is_applied_in_parts, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(a_record_without_headers_or_a_value_is_poison_too, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(a_record_whose_headers_grow_when_they_are_written_is_poison_too, place_set_up,
										place_tear_down),
		cmocka_unit_test_setup_teardown(records_are_applied_soon, place_set_up, place_tear_down),
		cmocka_unit_test_setup_teardown(many_records_are_applied_fast, place_set_up, place_tear_down),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, place_set_up_all, place_tear_down_all);
}
