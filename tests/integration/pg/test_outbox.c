/* Outbox rows and the relay against a real Kafka and Postgres. Topics are Kiln's own; each test has keys of its own. */
#include "relaying.h"
#include "services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/metrics.h"
#include "common/base/wakeup.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"
#include "common/pg/outbox.h"

static int set_up_all(void **state)
{
	test_topic(TOPIC_BUILD_REQUESTS, 12, NULL);
	test_topic(TOPIC_DEAD_LETTERS, 3, NULL);
	return relaying_set_up(state);
}

static void a_row_becomes_the_event_it_describes(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	struct outbox_rows rows;
	struct error err = ERROR_INIT;
	outbox_rows_init(&rows, 65536);
	add_event(&rows, TOPIC_BUILD_EVENTS, 1, 7);
	add_event(&rows, TOPIC_BUILD_REQUESTS, 1, 7);
	assert_ok(outbox_rows_insert(&rows, conn, &err), err);
	outbox_rows_release(&rows);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 0, 60000);

	char *key = xasprintf("%s-1", run_id);
	struct test_event event = test_find_event(TOPIC_BUILD_EVENTS, key);
	assert_int_equal(event.count, 1);
	assert_non_null(strstr(event.id, key));
	assert_string_equal(event.type, "build.phase");
	assert_string_equal(event.source, "/kiln/test");
	assert_string_equal(event.subject, key);
	assert_string_equal(event.time, EVENT_TIME);
	assert_string_equal(event.hash, "00ff");
	assert_string_equal(event.sequence, "0000000007");
	assert_string_equal(event.data, "{\"sequence\":7}");
	/* Only the event topics are numbered. */
	event = test_find_event(TOPIC_BUILD_REQUESTS, key);
	assert_int_equal(event.count, 1);
	assert_string_equal(event.sequence, "");
	free(key);
	outbox_relay_free(relay);
}

static void a_dead_letter_is_the_record_as_it_was(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	char *sql = xasprintf(
		"INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, record, body) VALUES "
		"(3, 'kiln.dead-letters', 'some.topic/1/%s', 0, 'x', 'dead_letter', 's', 't', jsonb_build_object('key', "
		"encode(convert_to('%s', 'UTF8'), 'base64'), 'headers', jsonb_build_array("
		"jsonb_build_array('ce_id', encode('mine', 'base64')), jsonb_build_array('ce_type', NULL), "
		"jsonb_build_array('kiln_reason', encode('because', 'base64')))), 'the value')",
		run_id, run_id);
	test_sql(&database, sql);
	free(sql);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 0, 60000);
	struct test_event letter = test_find_event(TOPIC_DEAD_LETTERS, run_id);
	assert_int_equal(letter.count, 1);
	assert_string_equal(letter.id, "mine");
	assert_string_equal(letter.source, "");
	assert_string_equal(letter.reason, "because");
	assert_string_equal(letter.data, "the value");
	outbox_relay_free(relay);
}

static void relay_letter(struct outbox_relay *relay, const char *key, const char *more)
{
	char *sql = xasprintf(
		"INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, record, body) VALUES "
		"(3, 'kiln.dead-letters', 'some.topic/2/%s', 0, 'x', 'dead_letter', 's', 't', jsonb_build_object('key', "
		"encode(convert_to('%s', 'UTF8'), 'base64'), 'headers', '[]'::jsonb) || '%s', '')",
		key, key, more);
	test_sql(&database, sql);
	free(sql);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 0, 60000);
}

static void a_dead_letter_without_a_value_has_none_and_one_with_an_empty_value_has_that(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	char *none = xasprintf("none-%s", run_id), *empty = xasprintf("empty-%s", run_id);
	relay_letter(relay, none, "{\"value_is_null\": true}");
	relay_letter(relay, empty, "{}");
	struct test_event letter = test_find_event(TOPIC_DEAD_LETTERS, none);
	assert_int_equal(letter.count, 1);
	assert_true(letter.is_tombstone);
	letter = test_find_event(TOPIC_DEAD_LETTERS, empty);
	assert_int_equal(letter.count, 1);
	assert_false(letter.is_tombstone);
	assert_string_equal(letter.data, "");
	free(none);
	free(empty);
	outbox_relay_free(relay);
}

static void ids_rise_in_the_order_of_adding(void **state)
{
	(void)state;
	write_events(500, 1, 2);
	assert_int_equal(
		test_sql_int(
			&database,
			"SELECT count(*) FROM (SELECT sequence, lag(sequence) OVER (PARTITION BY key ORDER BY id) AS before "
			"FROM outbox) AS o WHERE before > sequence"),
		0);
	assert_int_equal(test_sql_int(&database, "SELECT max(shard) FROM outbox"), 11);
}

static long shown_backlog(void)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 1UL << 20);
	assert_int_equal(metrics_render(&text), 0);
	const char *line = strstr(text.data, "\nkiln_outbox_backlog ");
	assert_non_null(line);
	return strtol(line + strlen("\nkiln_outbox_backlog "), NULL, 10);
}

static void one_relay_keeps_the_order_of_each_key(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 137);
	for (int i = 0; i < 10; i++) {
		write_events(20, 1 + 5 * i, 5);
		outbox_relay_wake(relay);
	}
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 50, &repeats);
	assert_int_equal(repeats, 0);
	assert_becomes(shown_backlog() == 0, 60000);
	outbox_relay_free(relay);
}

static void two_relays_of_the_same_shards_only_repeat(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *a = test_relay(ALL_SHARDS, 50);
	struct outbox_relay *b = test_relay(ALL_SHARDS, 31);
	for (int i = 0; i < 20; i++) {
		write_events(20, 1 + 5 * i, 5);
		outbox_relay_wake(a);
		outbox_relay_wake(b);
	}
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 100, &repeats);
	printf("# %d repeats of 2000\n", repeats);
	outbox_relay_free(a);
	outbox_relay_free(b);
}

static void shards_are_published_only_by_their_owner(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *a = test_relay(0x0f, 50);
	write_events(40, 1, 3);
	outbox_relay_wake(a);
	assert_becomes(test_sql_int(&database, "SELECT count(*) FROM outbox WHERE shard < 4") == 0, 60000);
	assert_true(waiting_rows() > 0);
	struct outbox_relay *b = test_relay(ALL_SHARDS & ~UINT64_C(0x0f), 50);
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(40, 3, &repeats);
	assert_int_equal(repeats, 0);
	outbox_relay_free(a);
	outbox_relay_free(b);
}

static void a_relay_that_stops_in_the_middle_loses_nothing(void **state)
{
	(void)state;
	int repeats;
	write_events(20, 1, 100);
	for (int i = 0; i < 5; i++)
		outbox_relay_free(test_relay(ALL_SHARDS, 100));
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 500);
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 100, &repeats);
	outbox_relay_free(relay);
}

static void fatal_producer_errors_lose_nothing_and_keep_the_order(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	for (int i = 0; i < 10; i++) {
		write_events(20, 1 + 20 * i, 20);
		outbox_relay_wake(relay);
		kafka_producer_break(producer);
	}
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 200, &repeats);
	printf("# %d repeats of 4000\n", repeats);
	outbox_relay_free(relay);
}

static void what_a_frozen_broker_has_not_acknowledged_stays(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 30);
	write_events(20, 1, 5);
	assert_becomes(waiting_rows() == 0, 60000);
	test_freeze_kafka();
	write_events(20, 6, 5);
	outbox_relay_wake(relay);
	int64_t until_ms = test_now_ms() + 2000;
	int64_t lowest = INT64_MAX;
	while (test_now_ms() < until_ms) {
		int64_t rows = waiting_rows();
		lowest = rows < lowest ? rows : lowest;
	}
	test_thaw_kafka();
	assert_int_equal(lowest, 100);
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 10, &repeats);
	outbox_relay_free(relay);
}

static void a_row_that_commits_late_is_published_late(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	struct pg_settings settings = test_pg(&database);
	struct pg_conn *slow = pg_conn_new(&settings);
	struct outbox_rows rows;
	struct error err = ERROR_INIT;
	outbox_rows_init(&rows, 65536);
	add_event(&rows, TOPIC_BUILD_EVENTS, 0, 1);
	assert_ok(pg_begin(slow, &err), err);
	assert_ok(outbox_rows_insert(&rows, slow, &err), err);
	/* A higher id commits first, and does not wait for the lower one. */
	outbox_rows_release(&rows);
	outbox_rows_init(&rows, 65536);
	add_event(&rows, TOPIC_BUILD_EVENTS, 1, 1);
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(outbox_rows_insert(&rows, conn, &err), err);
	assert_ok(pg_commit(conn, &err), err);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 0, 60000);
	assert_ok(pg_commit(slow, &err), err);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 0, 60000);
	int repeats;
	check_order(2, 1, &repeats);
	assert_int_equal(repeats, 0);
	outbox_rows_release(&rows);
	pg_conn_free(slow);
	outbox_relay_free(relay);
}

static void a_row_that_commits_while_a_higher_one_is_on_its_way_is_not_deleted_with_it(void **state)
{
	(void)state;
	struct pg_settings settings = test_pg(&database);
	settings.idle_in_transaction_timeout_ms = 120000;
	struct pg_conn *slow = pg_conn_new(&settings);
	struct outbox_rows rows;
	struct error err = ERROR_INIT;
	outbox_rows_init(&rows, 65536);
	add_event(&rows, TOPIC_BUILD_EVENTS, 0, 1);
	assert_ok(pg_begin(slow, &err), err);
	assert_ok(outbox_rows_insert(&rows, slow, &err), err);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	outbox_rows_release(&rows);
	outbox_rows_init(&rows, 65536);
	add_event(&rows, TOPIC_BUILD_EVENTS, 1, 1);
	assert_becomes(!kafka_producer_waits(producer), 60000);
	test_freeze_kafka();
	assert_ok(pg_begin(conn, &err), err);
	assert_ok(outbox_rows_insert(&rows, conn, &err), err);
	assert_ok(pg_commit(conn, &err), err);
	outbox_relay_wake(relay);
	assert_becomes(kafka_producer_waits(producer), 60000);
	assert_ok(pg_commit(slow, &err), err);
	test_thaw_kafka();
	assert_becomes(waiting_rows() == 0, 60000);
	int repeats;
	check_order(2, 1, &repeats);
	outbox_rows_release(&rows);
	pg_conn_free(slow);
	outbox_relay_free(relay);
}

static void a_row_that_cannot_be_published_holds_up_its_key_only(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 10);
	char *sql = xasprintf(
		"INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, record, body) "
		"SELECT 3, 'kiln.build.events', '%s-bad', n, 'x', 't', 's', 't', "
		"CASE WHEN n = 1 THEN '{\"key\": \"%%\"}'::jsonb END, 'v' FROM generate_series(1, 3) AS n",
		run_id);
	test_sql(&database, sql);
	free(sql);
	write_events(5, 1, 10);
	outbox_relay_wake(relay);
	assert_becomes(waiting_rows() == 3, 60000);
	test_sql(&database, "UPDATE outbox SET record = NULL");
	assert_becomes(waiting_rows() == 0, 60000);
	outbox_relay_free(relay);
}

/* Events one after the other, each when the one before is gone; who writes it says so by `writer`, or by NOTIFY. By its
 * timer alone the relay looks once a second: then no two of them are gone within less, but for how late this thread
 * sees it. On a busy machine a woken one may take as long: it goes on until ten were quick. */
static void quick_ones_come(struct outbox_relay *writer, int *sequence)
{
	struct error err = ERROR_INIT;
	int quick = 0, tries = 0;
	for (int64_t gone_ms = test_now_ms(), until_ms = gone_ms + 180000; quick < 10; tries++) {
		write_events(1, (*sequence)++, 1);
		if (writer != NULL)
			outbox_relay_wake(writer);
		else
			assert_ok(outbox_notify(conn, &err), err);
		assert_becomes(waiting_rows() == 0, 60000);
		int64_t now_ms = test_now_ms();
		assert_true(now_ms < until_ms);
		quick += now_ms - gone_ms < 500;
		gone_ms = now_ms;
	}
	printf("# %d of %d were quick\n", quick, tries);
}

static void a_notify_wakes_other_instances(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	int sequence = 1;
	quick_ones_come(NULL, &sequence);
	/* A relay that does not own every shard notifies by itself. */
	struct outbox_relay *writer = test_relay(0, 100);
	quick_ones_come(writer, &sequence);
	outbox_relay_free(writer);
	outbox_relay_free(relay);
}

static void a_lost_database_connection_is_made_again(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 50);
	for (int i = 0; i < 10; i++) {
		write_events(20, 1 + 5 * i, 5);
		outbox_relay_wake(relay);
		test_sql(&database,
				 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
				 "query LIKE '%outbox%' AND pid <> pg_backend_pid()");
	}
	assert_becomes(waiting_rows() == 0, 60000);
	check_order(20, 50, &repeats);
	outbox_relay_free(relay);
}

static void many_events_are_relayed_fast(void **state)
{
	(void)state;
	int repeats;
	write_events(1000, 1, 40);
	int64_t began_ms = test_now_ms();
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	assert_becomes(waiting_rows() == 0, 60000);
	printf("# 40000 events in %d ms\n", (int)(test_now_ms() - began_ms));
	outbox_relay_free(relay);
	check_order(1000, 40, &repeats);
	assert_int_equal(repeats, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_row_becomes_the_event_it_describes, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_dead_letter_is_the_record_as_it_was, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_dead_letter_without_a_value_has_none_and_one_with_an_empty_value_has_that,
										relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(ids_rise_in_the_order_of_adding, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(one_relay_keeps_the_order_of_each_key, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(two_relays_of_the_same_shards_only_repeat, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(shards_are_published_only_by_their_owner, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_relay_that_stops_in_the_middle_loses_nothing, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(fatal_producer_errors_lose_nothing_and_keep_the_order, relaying_begin,
										relaying_end),
		cmocka_unit_test_setup_teardown(what_a_frozen_broker_has_not_acknowledged_stays, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_row_that_commits_late_is_published_late, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_row_that_commits_while_a_higher_one_is_on_its_way_is_not_deleted_with_it,
										relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_row_that_cannot_be_published_holds_up_its_key_only, relaying_begin,
										relaying_end),
		cmocka_unit_test_setup_teardown(a_notify_wakes_other_instances, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(a_lost_database_connection_is_made_again, relaying_begin, relaying_end),
		cmocka_unit_test_setup_teardown(many_events_are_relayed_fast, relaying_begin, relaying_end),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up_all, relaying_tear_down);
}
