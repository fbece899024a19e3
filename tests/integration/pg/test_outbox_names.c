/* Outbox rows that name events of builds, and the relay, against a real Kafka and Postgres. */
#include "relaying.h"
#include "services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/ids.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"
#include "kiln_pg_sql.h"

#define TIME "2026-11-23T17:20:00.000000Z"
#define BUILDS_MAX 64

static char build_ids[BUILDS_MAX][UUID_TEXT_SIZE]; /* of the running test */
static int builds;

static int set_up(void **state)
{
	(void)state;
	test_sql(&database, "TRUNCATE outbox, build_events, build_audit");
	return 0;
}

/* 'id', 'id', …: `count` builds from `first` on. The caller's. */
static char *list_builds(int first, int count)
{
	struct buffer list;
	buffer_init(&list, 65536);
	for (int i = first; i < first + count; i++) {
		assert_int_equal(buffer_append_str(&list, i == first ? "'" : ", '"), 0);
		assert_int_equal(buffer_append_str(&list, build_ids[i]), 0);
		assert_int_equal(buffer_append_char(&list, '\''), 0);
	}
	return buffer_detach(&list, NULL);
}

/* Makes builds without events. */
static void make_builds(int count)
{
	for (int i = 0; i < count; i++)
		uuid_v7(build_ids[i]);
	builds = count;
	char *list = list_builds(0, count);
	char *sql = xasprintf(
		"INSERT INTO build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, "
		"queue_timeout_s, created_at, traceparent) SELECT id, id, 'p', 'pending', 'queued', 3, 'command', 5, 60, "
		"now(), "
		"'00-trace' FROM unnest(ARRAY[%s]::uuid[]) AS id",
		list);
	test_sql(&database, sql);
	free(sql);
	free(list);
}

/* The events first to last of `count` builds from `build` on, in the trail only. */
static void write_trail(int build, int count, int first, int last)
{
	char *list = list_builds(build, count);
	char *sql = xasprintf("INSERT INTO build_events SELECT id, n, 'build.phase', '" TIME
						  "', 1, convert_to('{\"sequence\":' || n || '}', 'UTF8'), decode('00ff', 'hex') "
						  "FROM unnest(ARRAY[%s]::uuid[]) AS id, generate_series(%d, %d) AS n",
						  list, first, last);
	test_sql(&database, sql);
	free(sql);
	free(list);
}

/* One outbox row for them. */
static void name_events(int build, int count, int first, int last)
{
	char *list = list_builds(build, count);
	char *sql = xasprintf(
		"INSERT INTO outbox (shard, topic, source, time, build_ids, first_sequences, last_sequences, events, bytes) "
		"SELECT %d, 'kiln.build.events', '/kiln/test', '" TIME
		"', array_agg(id), array_agg(%d), array_agg(%d), "
		"count(*) * %d, 1 FROM unnest(ARRAY[%s]::uuid[]) AS id",
		build % OUTBOX_SHARDS, first, last, last - first + 1, list);
	test_sql(&database, sql);
	free(sql);
	free(list);
}

struct trail_order {
	int highest[BUILDS_MAX];
	int repeats;
};

static void look_at_trail(void *ctx, const rd_kafka_message_t *message)
{
	struct trail_order *order = ctx;
	for (int i = 0; i < builds; i++) {
		if (message->key_len != strlen(build_ids[i]) || memcmp(message->key, build_ids[i], message->key_len) != 0)
			continue;
		int sequence = (int)strtol(test_header(message, "ce_sequence"), NULL, 10);
		if (sequence <= order->highest[i]) {
			order->repeats++;
			continue;
		}
		assert_int_equal(sequence, order->highest[i] + 1);
		order->highest[i] = sequence;
	}
}

static struct trail_order read_trail(void)
{
	struct trail_order order = {.repeats = 0};
	for (int32_t partition = 0; partition < 12; partition++)
		test_read_partition(TOPIC_BUILD_EVENTS, partition, look_at_trail, &order);
	return order;
}

static void an_event_that_a_row_names_comes_from_the_trail(void **state)
{
	(void)state;
	make_builds(1);
	write_trail(0, 1, 1, 2);
	name_events(0, 1, 2, 2);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	assert_becomes(waiting_rows() == 0, 60000);
	struct test_event event = test_find_event(TOPIC_BUILD_EVENTS, build_ids[0]);
	char *id = xasprintf("build/%s/2", build_ids[0]);
	assert_int_equal(event.count, 1);
	assert_string_equal(event.id, id);
	assert_string_equal(event.type, "build.phase");
	assert_string_equal(event.source, "/kiln/test");
	assert_string_equal(event.subject, build_ids[0]);
	assert_string_equal(event.time, TIME);
	assert_string_equal(event.hash, "00ff");
	assert_string_equal(event.sequence, "0000000002");
	assert_string_equal(event.trace, "00-trace");
	assert_string_equal(event.data, "{\"sequence\":2}");
	free(id);
	outbox_relay_free(relay);
}

static void named_events_keep_the_order_of_each_build(void **state)
{
	(void)state;
	make_builds(40);
	for (int first = 1; first <= 40; first += 4) {
		write_trail(0, builds, first, first + 3);
		for (int build = 0; build < builds; build += 10)
			name_events(build, 10, first, first + 3);
	}
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100); /* two and a half rows a round */
	assert_becomes(waiting_rows() == 0, 60000);
	struct trail_order order = read_trail();
	for (int build = 0; build < builds; build++)
		assert_int_equal(order.highest[build], 40);
	assert_int_equal(order.repeats, 0);
	outbox_relay_free(relay);
}

/* What an older version has left. */
static void rows_with_and_without_names_go_in_one_order(void **state)
{
	(void)state;
	make_builds(1);
	write_trail(0, 1, 1, 4);
	char *sql = xasprintf(
		"INSERT INTO outbox (shard, topic, key, sequence, ce_id, type, source, time, body) "
		"SELECT 0, 'kiln.build.events', '%s', n, 'x', 't', 's', 't', 'old' FROM generate_series(1, 2) n",
		build_ids[0]);
	test_sql(&database, sql);
	free(sql);
	name_events(0, 1, 3, 4);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 3);
	assert_becomes(waiting_rows() == 0, 60000);
	struct trail_order order = read_trail();
	assert_int_equal(order.highest[0], 4);
	assert_int_equal(order.repeats, 0);
	outbox_relay_free(relay);
}

static void two_relays_of_one_row_only_repeat(void **state)
{
	(void)state;
	make_builds(20);
	struct outbox_relay *a = test_relay(ALL_SHARDS, 50);
	struct outbox_relay *b = test_relay(ALL_SHARDS, 31);
	for (int first = 1; first <= 20; first += 2) {
		write_trail(0, builds, first, first + 1);
		name_events(0, builds, first, first + 1);
		outbox_relay_wake(a);
		outbox_relay_wake(b);
	}
	assert_becomes(waiting_rows() == 0, 60000);
	struct trail_order order = read_trail();
	for (int build = 0; build < builds; build++)
		assert_int_equal(order.highest[build], 20);
	printf("# %d repeats of 400\n", order.repeats);
	outbox_relay_free(a);
	outbox_relay_free(b);
}

static void fatal_producer_errors_lose_no_event_that_a_row_names(void **state)
{
	(void)state;
	make_builds(20);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	for (int first = 1; first <= 40; first += 4) {
		write_trail(0, builds, first, first + 3);
		name_events(0, 10, first, first + 3);
		name_events(10, 10, first, first + 3);
		outbox_relay_wake(relay);
		kafka_producer_break(producer);
	}
	assert_becomes(waiting_rows() == 0, 60000);
	struct trail_order order = read_trail();
	for (int build = 0; build < builds; build++)
		assert_int_equal(order.highest[build], 40);
	printf("# %d repeats of 800\n", order.repeats);
	outbox_relay_free(relay);
}

static int64_t named_builds(void)
{
	return test_sql_int(&database, "SELECT coalesce(sum(cardinality(build_ids)), 0) FROM outbox");
}

static void a_build_that_the_trail_lacks_holds_up_itself_only(void **state)
{
	(void)state;
	make_builds(3);
	write_trail(0, 1, 1, 2);
	write_trail(2, 1, 1, 3);
	name_events(0, 3, 1, 2);
	name_events(2, 1, 3, 3);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	assert_becomes(named_builds() == 1, 60000);
	assert_int_equal(test_sql_int(&database, "SELECT events FROM outbox"), 2);
	struct trail_order order = read_trail();
	assert_int_equal(order.highest[0], 2);
	assert_int_equal(order.highest[1], 0);
	assert_int_equal(order.highest[2], 3);
	assert_int_equal(order.repeats, 0);
	write_trail(1, 1, 1, 2);
	assert_becomes(waiting_rows() == 0, 60000);
	assert_int_equal(read_trail().highest[1], 2);
	outbox_relay_free(relay);
}

static void a_build_that_the_trail_has_in_part_is_not_published_in_part(void **state)
{
	(void)state;
	make_builds(2);
	write_trail(0, 1, 1, 1);
	write_trail(0, 1, 3, 3);
	write_trail(1, 1, 1, 3);
	name_events(0, 2, 1, 3);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	assert_becomes(named_builds() == 1, 60000);
	struct trail_order order = read_trail();
	assert_int_equal(order.highest[0], 0);
	assert_int_equal(order.highest[1], 3);
	write_trail(0, 1, 2, 2);
	assert_becomes(waiting_rows() == 0, 60000);
	assert_int_equal(read_trail().highest[0], 3);
	outbox_relay_free(relay);
}

static void what_comes_before_an_event_that_cannot_be_published_goes(void **state)
{
	(void)state;
	make_builds(1);
	write_trail(0, 1, 1, 2);
	name_events(0, 1, 1, 2);
	name_events(0, 1, 3, 3);
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 100);
	assert_becomes(waiting_rows() == 1, 60000);
	assert_int_equal(read_trail().highest[0], 2);
	write_trail(0, 1, 3, 3);
	assert_becomes(waiting_rows() == 0, 60000);
	assert_int_equal(read_trail().highest[0], 3);
	outbox_relay_free(relay);
}

/* What a relay takes out of a row, another one that has read the row before knows nothing of. */
static void a_row_never_loses_its_last_build_by_shrinking(void **state)
{
	(void)state;
	make_builds(2);
	name_events(0, 2, 1, 3);
	struct error err = ERROR_INIT;
	char *id = xasprintf("{%d}", (int)test_sql_int(&database, "SELECT id FROM outbox"));
	for (int build = 0; build < 2; build++) {
		char *list = xasprintf("{%s}", build_ids[build]);
		assert_ok(pg_query(conn, &sql_outbox_shrink, PG_PARAMS(id, list), 2, NULL, &err), err);
		free(list);
	}
	free(id);
	assert_int_equal(named_builds(), 1);
	assert_int_equal(test_sql_int(&database, "SELECT events FROM outbox"), 3);
	char *sql = xasprintf(
		"SELECT count(*) FROM outbox WHERE build_ids = ARRAY['%s'::uuid] AND first_sequences = '{1}' AND "
		"last_sequences = '{3}'",
		build_ids[1]);
	assert_int_equal(test_sql_int(&database, sql), 1);
	free(sql);
}

/* Events first to last of a build, as if they had been committed here. */
static void keep_events(struct outbox_relay *relay, int build, int first, int last)
{
	static const uint8_t hash[32] = {0xfe, 0xed};
	for (int sequence = first; sequence <= last; sequence++) {
		char *body = xasprintf("{\"kept\":%d}", sequence);
		const struct outbox_committed event = {.build_id = build_ids[build],
											   .sequence = sequence,
											   .type = "build.started",
											   .traceparent = "00-kept",
											   .hash = hash,
											   .body = body,
											   .body_len = strlen(body)};
		outbox_relay_keep(relay, &event, 1);
		free(body);
	}
}

/* They are in no trail. */
static void events_that_were_kept_are_not_read(void **state)
{
	(void)state;
	make_builds(1);
	struct outbox_relay *relay = test_relay(0, 100);
	keep_events(relay, 0, 7, 7);
	name_events(0, 1, 7, 7);
	outbox_relay_own(relay, ALL_SHARDS);
	assert_becomes(waiting_rows() == 0, 60000);
	struct test_event event = test_find_event(TOPIC_BUILD_EVENTS, build_ids[0]);
	char *id = xasprintf("build/%s/7", build_ids[0]);
	assert_int_equal(event.count, 1);
	assert_string_equal(event.id, id);
	assert_string_equal(event.type, "build.started");
	assert_string_equal(event.source, "/kiln/test");
	assert_string_equal(event.time, TIME);
	assert_string_equal(event.hash, "feed000000000000000000000000000000000000000000000000000000000000");
	assert_string_equal(event.sequence, "0000000007");
	assert_string_equal(event.trace, "00-kept");
	assert_string_equal(event.data, "{\"kept\":7}");
	free(id);
	outbox_relay_free(relay);
}

/* Of the first build the middle, of the second nothing; the third's is in no trail, and nobody names what else there is
 * of it. */
static void what_was_not_kept_is_read(void **state)
{
	(void)state;
	make_builds(3);
	struct outbox_relay *relay = test_relay(0, 100);
	keep_events(relay, 0, 2, 2);
	keep_events(relay, 2, 1, 6);
	write_trail(0, 2, 1, 3);
	name_events(0, 2, 1, 3);
	name_events(2, 1, 1, 4);
	outbox_relay_own(relay, ALL_SHARDS);
	assert_becomes(waiting_rows() == 0, 60000);
	struct trail_order order = read_trail();
	assert_int_equal(order.highest[0], 3);
	assert_int_equal(order.highest[1], 3);
	assert_int_equal(order.highest[2], 4);
	assert_int_equal(order.repeats, 0);
	outbox_relay_free(relay);
}

/* What was kept is given once: the second time it comes from the trail. */
static void a_kept_event_of_a_torn_build_waits_and_is_then_read(void **state)
{
	(void)state;
	make_builds(2);
	struct outbox_relay *relay = test_relay(0, 100);
	keep_events(relay, 0, 2, 2);
	write_trail(1, 1, 1, 2);
	name_events(0, 2, 1, 2);
	outbox_relay_own(relay, ALL_SHARDS);
	assert_becomes(named_builds() == 1, 60000);
	assert_int_equal(read_trail().highest[0], 0);
	write_trail(0, 1, 1, 2);
	assert_becomes(waiting_rows() == 0, 60000);
	assert_int_equal(read_trail().highest[0], 2);
	outbox_relay_free(relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_event_that_a_row_names_comes_from_the_trail, set_up),
		cmocka_unit_test_setup(named_events_keep_the_order_of_each_build, set_up),
		cmocka_unit_test_setup(rows_with_and_without_names_go_in_one_order, set_up),
		cmocka_unit_test_setup(two_relays_of_one_row_only_repeat, set_up),
		cmocka_unit_test_setup(fatal_producer_errors_lose_no_event_that_a_row_names, set_up),
		cmocka_unit_test_setup(a_build_that_the_trail_lacks_holds_up_itself_only, set_up),
		cmocka_unit_test_setup(a_build_that_the_trail_has_in_part_is_not_published_in_part, set_up),
		cmocka_unit_test_setup(what_comes_before_an_event_that_cannot_be_published_goes, set_up),
		cmocka_unit_test_setup(a_row_never_loses_its_last_build_by_shrinking, set_up),
		cmocka_unit_test_setup(events_that_were_kept_are_not_read, set_up),
		cmocka_unit_test_setup(what_was_not_kept_is_read, set_up),
		cmocka_unit_test_setup(a_kept_event_of_a_torn_build_waits_and_is_then_read, set_up),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, relaying_set_up, relaying_tear_down);
}
