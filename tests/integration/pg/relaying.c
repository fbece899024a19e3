#include "relaying.h"

#include <stdio.h>
#include <string.h>

#include "common/kafka/topics.h"

struct test_database database;
struct kafka_producer *producer;
struct pg_conn *conn;

int relaying_set_up(void **state)
{
	(void)state;
	test_database_init(&database);
	test_topic(TOPIC_BUILD_EVENTS, 12, NULL);
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
	copy_header(found->id, sizeof(found->id), message, "ce_id");
	copy_header(found->type, sizeof(found->type), message, "ce_type");
	copy_header(found->source, sizeof(found->source), message, "ce_source");
	copy_header(found->subject, sizeof(found->subject), message, "ce_subject");
	copy_header(found->time, sizeof(found->time), message, "ce_time");
	copy_header(found->hash, sizeof(found->hash), message, "ce_hash");
	copy_header(found->sequence, sizeof(found->sequence), message, "ce_sequence");
	copy_header(found->trace, sizeof(found->trace), message, "traceparent");
	copy_header(found->reason, sizeof(found->reason), message, "kiln_reason");
	(void)snprintf(found->data, sizeof(found->data), "%.*s", (int)message->len, (const char *)message->payload);
}

struct test_event test_find_event(const char *topic, const char *key)
{
	struct test_event found = {.key = key};
	const struct topic *known = topic_find(topic);
	test_read_partition(topic, topic_partition(known, key, strlen(key)), find, &found);
	return found;
}
