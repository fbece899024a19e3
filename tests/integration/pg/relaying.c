#include "relaying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"

struct test_database database;
struct kafka_producer *producer;
struct pg_conn *conn;
char *run_id;

int relaying_set_up(void **state)
{
	test_topic(TOPIC_BUILD_EVENTS, 12, NULL);
	return relaying_set_up_without_topic(state);
}

int relaying_set_up_without_topic(void **state)
{
	(void)state;
	test_database_init(&database);
	producer = test_producer();
	struct pg_settings settings = test_pg(&database);
	conn = pg_conn_new(&settings);
	return 0;
}

int relaying_tear_down(void **state)
{
	(void)state;
	pg_conn_free(conn);
	kafka_producer_free(producer, 1000);
	test_database_release(&database);
	return 0;
}

int relaying_begin(void **state)
{
	(void)state;
	run_id = test_name("key");
	test_sql(&database, "TRUNCATE outbox");
	return 0;
}

int relaying_end(void **state)
{
	(void)state;
	free(run_id);
	return 0;
}

int64_t waiting_rows(void)
{
	return test_sql_int(&database, "SELECT count(*) FROM outbox");
}

struct outbox_relay *test_relay(uint64_t shards, size_t batch)
{
	const struct outbox_relay_options options = {.pg = test_pg(&database), .producer = producer, .batch = batch};
	struct outbox_relay *relay;
	struct error err = ERROR_INIT;
	assert_ok(outbox_relay_new(&options, &relay, &err), err);
	outbox_relay_own(relay, shards);
	return relay;
}

static void copy_header(char *ret, size_t size, const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;
	ret[0] = '\0';
	if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		rd_kafka_header_get_last(headers, name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR)
		(void)snprintf(ret, size, "%s", (const char *)value);
}

static void find(void *ctx, const rd_kafka_message_t *message)
{
	struct test_event *found = ctx;
	if (message->key_len != strlen(found->key) || memcmp(message->key, found->key, message->key_len) != 0)
		return;
	found->count++;
	found->is_tombstone = message->payload == NULL;
	copy_header(found->id, sizeof(found->id), message, "ce_id");
	copy_header(found->type, sizeof(found->type), message, "ce_type");
	copy_header(found->source, sizeof(found->source), message, "ce_source");
	copy_header(found->subject, sizeof(found->subject), message, "ce_subject");
	copy_header(found->time, sizeof(found->time), message, "ce_time");
	copy_header(found->hash, sizeof(found->hash), message, "ce_hash");
	copy_header(found->sequence, sizeof(found->sequence), message, "ce_sequence");
	copy_header(found->trace, sizeof(found->trace), message, "traceparent");
	copy_header(found->reason, sizeof(found->reason), message, "kiln_reason");
	(void)snprintf(found->data, sizeof(found->data), "%.*s", (int)message->len,
				   message->payload != NULL ? (const char *)message->payload : "");
}

struct test_event test_find_event(const char *topic, const char *key)
{
	struct test_event found = {.key = key};
	const struct topic *known = topic_find(topic);
	test_read_partition(topic, topic_partition(known, key, strlen(key)), find, &found);
	return found;
}

void add_event(struct outbox_rows *rows, const char *topic, int key_number, int64_t sequence)
{
	char key[64];
	char ce_id[96];
	char body[64];
	(void)snprintf(key, sizeof(key), "%s-%d", run_id, key_number);
	(void)snprintf(ce_id, sizeof(ce_id), "build/%s/%d", key, (int)sequence);
	(void)snprintf(body, sizeof(body), "{\"sequence\":%d}", (int)sequence);
	outbox_rows_add(rows, topic, key, sequence, ce_id, "build.phase", "/kiln/test", EVENT_TIME, "00ff", NULL, body,
					strlen(body));
}

void write_events(int keys, int first, int per_key)
{
	struct outbox_rows rows;
	struct error err = ERROR_INIT;
	for (int sequence = first; sequence < first + per_key; sequence++) {
		outbox_rows_init(&rows, 16UL * 1024 * 1024);
		for (int key = 0; key < keys; key++)
			add_event(&rows, TOPIC_BUILD_EVENTS, key, sequence);
		assert_ok(pg_begin(conn, &err), err);
		assert_ok(outbox_rows_insert(&rows, conn, &err), err);
		assert_ok(pg_commit(conn, &err), err);
		outbox_rows_release(&rows);
	}
}

struct order {
	struct map *highest; /* key → int64_t */
	int records, repeats;
};

static void look_at_order(void *ctx, const rd_kafka_message_t *message)
{
	struct order *order = ctx;
	if (message->key_len < strlen(run_id) || memcmp(message->key, run_id, strlen(run_id)) != 0)
		return;
	int64_t sequence = strtoll(test_header(message, "ce_sequence"), NULL, 10);
	int64_t *highest = map_get(order->highest, message->key, message->key_len);
	if (highest == NULL) {
		highest = xcalloc(1, sizeof(*highest));
		assert_int_equal(map_set(order->highest, message->key, message->key_len, highest), 0);
	}
	order->records++;
	if (sequence <= *highest) {
		order->repeats++;
		return;
	}
	assert_int_equal(sequence, *highest + 1);
	*highest = sequence;
}

void check_order(int keys, int per_key, int *ret_repeats)
{
	struct order order = {.highest = map_new(10000, free)};
	for (int32_t partition = 0; partition < 12; partition++)
		test_read_partition(TOPIC_BUILD_EVENTS, partition, look_at_order, &order);
	assert_int_equal(map_len(order.highest), keys);
	for (struct map_iter it = {0}; map_next(order.highest, &it);)
		assert_int_equal(*(int64_t *)it.value, per_key);
	map_free(order.highest);
	*ret_repeats = order.repeats;
}
