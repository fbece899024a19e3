/* A record that cannot be applied: its row in dead_letters, and the outbox row that brings it to kiln.dead-letters, as
 * it was. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"
#include "common/pg/inbox_private.h"
#include "common/pg/outbox.h"
#include "kiln_pg_sql.h"

/* The letter has some headers more than the record: one that is nearly as large as messages may be goes without its
 * value, and one whose headers are without these (the row keeps both). */
#define MAX_PUBLISHED_BYTES (KAFKA_MAX_MESSAGE_BYTES - 512UL * 1024)
/* Of a record: a byte of a name is an escape of six, a value is four thirds, and what is empty takes two bytes there. */
#define MAX_HEADERS_BYTES (6UL * KAFKA_MAX_MESSAGE_BYTES)

static void add_base64(struct json_writer *json, const char *key, const void *data, size_t len)
{
	if (data == NULL) {
		json_null(json, key);
		return;
	}
	struct buffer text;
	buffer_init(&text, 2 * len + 8);
	CHECK(base64_append(&text, data, len) == 0);
	json_string_len(json, key, text.data, text.len);
	buffer_release(&text);
}

static void add_header(struct json_writer *json, const char *name, const void *value, size_t len)
{
	struct buffer clean;
	buffer_init(&clean, 3 * strlen(name) + 8);
	CHECK(str_append_utf8_lossy(&clean, name, strlen(name)) == 0);
	json_array_begin(json, NULL);
	json_string(json, NULL, clean.data);
	add_base64(json, NULL, value, len);
	json_array_end(json);
	buffer_release(&clean);
}

static void add_text(struct json_writer *json, const char *name, const char *value)
{
	add_header(json, name, value, strlen(value));
}

/* [[name, base64 or null], …] of the record itself. */
static void add_own_headers(struct json_writer *json, const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t len;
	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		add_header(json, name, value, len);
}

static void write_headers(struct buffer *text, const rd_kafka_message_t *message)
{
	struct json_writer json;
	json_writer_init(&json, text);
	json_array_begin(&json, NULL);
	add_own_headers(&json, message);
	json_array_end(&json);
}

/* What the relay publishes: outbox_message.c reads it. */
static void write_record(struct buffer *text, const struct inbox_item *item, const char *consumer, const char *reason,
						 bool without_headers, bool without_value)
{
	char number[24];
	struct json_writer json;
	json_writer_init(&json, text);
	json_object_begin(&json, NULL);
	add_base64(&json, "key", item->message->key, item->message->key_len);
	json_array_begin(&json, "headers");
	if (!without_headers)
		add_own_headers(&json, item->message);
	add_text(&json, "kiln_consumer", consumer);
	add_text(&json, "kiln_reason", reason);
	add_text(&json, "kiln_topic", item->record.topic);
	(void)snprintf(number, sizeof(number), "%d", item->record.partition);
	add_text(&json, "kiln_partition", number);
	(void)snprintf(number, sizeof(number), "%lld", (long long)item->record.offset);
	add_text(&json, "kiln_offset", number);
	if (without_headers)
		add_text(&json, "kiln_headers_left_out", "true");
	if (without_value)
		add_text(&json, "kiln_value_left_out", "true");
	json_array_end(&json);
	if (item->message->payload == NULL)
		json_bool(&json, "value_is_null", true);
	json_object_end(&json);
}

/* \x…, as bytea reads it. */
static void write_bytes(struct buffer *text, const void *data, size_t len)
{
	CHECK(buffer_append_str(text, "\\x") == 0);
	char *to = buffer_reserve(text, 2 * len + 1);
	CHECK(to != NULL);
	hex_encode(data, len, to);
	buffer_commit(text, 2 * len);
}

struct letter {
	struct buffer key, headers, value, record, body, reason;
};

static void letter_init(struct letter *letter)
{
	buffer_init(&letter->key, 2UL * KAFKA_MAX_MESSAGE_BYTES + 64);
	buffer_init(&letter->headers, MAX_HEADERS_BYTES);
	buffer_init(&letter->value, 2UL * KAFKA_MAX_MESSAGE_BYTES + 64);
	buffer_init(&letter->record, 4UL * KAFKA_MAX_MESSAGE_BYTES);
	buffer_init(&letter->body, 2UL * KAFKA_MAX_MESSAGE_BYTES + 64);
	buffer_init(&letter->reason, 4096);
}

static void letter_release_p(struct letter *letter)
{
	buffer_release(&letter->key);
	buffer_release(&letter->headers);
	buffer_release(&letter->value);
	buffer_release(&letter->record);
	buffer_release(&letter->body);
	buffer_release(&letter->reason);
}

static int send_letter(struct inbox *inbox, const struct inbox_item *item, struct letter *letter, const char *sqlstate,
					   struct error *err)
{
	const rd_kafka_message_t *message = item->message;
	char partition[16];
	char offset[24];
	char place[512];
	char shard[16];
	char ce_id[UUID_TEXT_SIZE];
	char time[CLOCK_RFC3339_SIZE];
	(void)snprintf(partition, sizeof(partition), "%d", item->record.partition);
	(void)snprintf(offset, sizeof(offset), "%lld", (long long)item->record.offset);
	(void)snprintf(place, sizeof(place), "%s/%s/%s", item->record.topic, partition,
				   offset); /* topics are ≤ 249 bytes */
	(void)snprintf(shard, sizeof(shard), "%d", topic_partition(topic_find(TOPIC_DEAD_LETTERS), place, strlen(place)));
	uuid_v4(ce_id);
	clock_format_rfc3339(clock_wall_us(), time);

	const char *const row[] = {inbox->options.consumer,
							   item->record.topic,
							   partition,
							   offset,
							   message->key == NULL ? NULL : letter->key.data,
							   letter->headers.data,
							   message->payload == NULL ? NULL : letter->value.data,
							   letter->reason.data,
							   sqlstate[0] == '\0' ? NULL : sqlstate};
	const char *const event[] = {
		shard, TOPIC_DEAD_LETTERS, place, ce_id, "/kiln/inbox", time, letter->record.data, letter->body.data};
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, inbox->conn);
	pg_pipeline_add(&pipeline, &sql_dead_letter_insert, row, ARRAY_LEN(row));
	pg_pipeline_add(&pipeline, &sql_dead_letter_publish, event, ARRAY_LEN(event));
	int result = pg_pipeline_run(&pipeline, results, err);
	pg_results_clear(results);
	return result;
}

int inbox_dead_letter(struct inbox *inbox, const struct inbox_item *item, const struct error *reason, struct error *err)
{
	const rd_kafka_message_t *message = item->message;
	CLEANUP(letter_release_p) struct letter letter;
	letter_init(&letter);
	CHECK(str_append_utf8_lossy(&letter.reason, reason->message, strlen(reason->message)) == 0);
	CHECK(buffer_append_str(&letter.reason, "") == 0);
	write_headers(&letter.headers, message);
	bool without_headers = letter.headers.len > MAX_PUBLISHED_BYTES;
	bool without_value = message->len + (without_headers ? 0 : letter.headers.len) > MAX_PUBLISHED_BYTES;
	write_record(&letter.record, item, inbox->options.consumer, letter.reason.data, without_headers, without_value);
	write_bytes(&letter.key, message->key, message->key_len);
	write_bytes(&letter.value, message->payload, message->len);
	write_bytes(&letter.body, message->payload, without_value ? 0 : message->len);
	CHECK(buffer_ok(&letter.headers) && buffer_ok(&letter.record));
	return send_letter(inbox, item, &letter, reason->sqlstate, err);
}
