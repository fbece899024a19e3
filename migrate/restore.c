#include "migrate/restore.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/json/json.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/consumer.h"
#include "common/kafka/topics.h"
#include "kiln_migrate_sql.h"
#include "migrate/published_event.h"

#define CALL_MS 5000
#define POLL_MS 200
#define STAGE_EVENTS 1000
#define STAGE_BYTES ((size_t)4 * 1024 * 1024)
#define COLUMN_BYTES ((size_t)64 * 1024 * 1024) /* STAGE_BYTES and one more event, as hex */
#define PARTITIONS_MAX 64

/* What the build service reads. */
static const char *const applied_topics[] = {TOPIC_BUILD_REQUESTS, TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};

enum { COL_BUILD, COL_SEQUENCE, COL_TYPE, COL_TIME, COL_BODY, COL_HASH, COL_COUNT };

struct restore {
	struct pg_conn *conn;
	struct kafka_consumer *consumer;
	int64_t timeout_ms;
	struct pg_array columns[COL_COUNT];
	size_t bytes; /* of the bodies in them */
	struct restore_report report;
};

static void restore_release(struct restore *restore)
{
	if (restore->consumer != NULL)
		kafka_consumer_free(restore->consumer);
	for (size_t i = 0; i < COL_COUNT; i++)
		pg_array_release(&restore->columns[i]);
}

static int refuse_services(struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *found = NULL;
	if (pg_query(conn, &sql_restore_services, NULL, 0, &found, err) < 0)
		return -1;
	if (PQntuples(found) > 0)
		return error_set(err, ERR_CONFLICT, "%s (%s) is connected: end all services first",
						 pg_text(found, 0, "usename"), pg_text(found, 0, "application_name"));
	return 0;
}

/* The log's start and end of each partition of a topic; the brokers may still be electing leaders. */
static int find_ends(struct restore *restore, const struct topic *topic, struct kafka_position *positions,
					 int64_t *lows, int64_t *highs, struct error *err)
{
	int64_t deadline_ms = clock_boot_ms() + restore->timeout_ms;
	CHECK(topic->partitions <= PARTITIONS_MAX);
	for (int32_t i = 0; i < topic->partitions; i++)
		positions[i] = (struct kafka_position){.topic = topic->name, .partition = i};
	do {
		if (kafka_watermarks_of(restore->consumer, positions, (size_t)topic->partitions, CALL_MS, lows, highs, err) ==
			0)
			return 0;
	} while (clock_left_ms(deadline_ms) > 0);
	return error_prefix(err, "Kafka is not there");
}

/* --- published events --- */

static int stage(struct restore *restore, struct error *err)
{
	const char *params[COL_COUNT];
	if (restore->columns[COL_BUILD].len == 0)
		return 0;
	for (size_t i = 0; i < COL_COUNT; i++)
		params[i] = pg_array_text(&restore->columns[i]);
	int rc = pg_query(restore->conn, &sql_restore_stage, params, COL_COUNT, NULL, err);
	for (size_t i = 0; i < COL_COUNT; i++)
		pg_array_clear(&restore->columns[i]);
	restore->bytes = 0;
	return rc;
}

static int take(struct restore *restore, const rd_kafka_message_t *message, struct error *err)
{
	struct cloudevent_in event;
	char time[CLOCK_RFC3339_SIZE];
	struct error why = ERROR_INIT;
	if (cloudevent_read(message, &event, &why) < 0 ||
		published_event_check(&event, message->payload, message->len, time, &why) < 0) {
		log_warn("not an event of a build", "topic", TOPIC_BUILD_EVENTS, "partition", LOG_INT(message->partition),
				 "offset", LOG_INT(message->offset), "reason", why.message, NULL);
		return 0;
	}
	pg_array_add(&restore->columns[COL_BUILD], event.subject);
	pg_array_add_int(&restore->columns[COL_SEQUENCE], event.sequence);
	pg_array_add(&restore->columns[COL_TYPE], event.type);
	pg_array_add(&restore->columns[COL_TIME], time);
	pg_array_add_bytes(&restore->columns[COL_BODY], message->payload, message->len);
	pg_array_add(&restore->columns[COL_HASH], event.hash);
	restore->bytes += message->len;
	restore->report.events++;
	return restore->columns[COL_BUILD].len < STAGE_EVENTS && restore->bytes < STAGE_BYTES ? 0 : stage(restore, err);
}

/* One partition up to where it ended. */
static int read_partition(struct restore *restore, const struct kafka_position *from, int64_t end, struct error *err)
{
	int64_t next = from->offset, deadline_ms = clock_boot_ms() + restore->timeout_ms;
	if (next < end && kafka_tail_assign(restore->consumer, from, 1, err) < 0)
		return -1;
	while (next < end) {
		rd_kafka_message_t *message = kafka_consumer_poll(restore->consumer, POLL_MS, err);
		if (message == NULL && err->kind != ERR_NONE)
			return -1;
		if (message == NULL && clock_left_ms(deadline_ms) == 0)
			return error_set(err, ERR_TIMEOUT, "kafka: no record of %s/%d came", from->topic, from->partition);
		if (message == NULL)
			continue;
		next = message->offset + 1;
		deadline_ms = clock_boot_ms() + restore->timeout_ms;
		int rc = take(restore, message, err);
		rd_kafka_message_destroy(message);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int read_events(struct restore *restore, struct error *err)
{
	const struct topic *topic = topic_find(TOPIC_BUILD_EVENTS);
	struct kafka_position positions[PARTITIONS_MAX];
	int64_t lows[PARTITIONS_MAX], highs[PARTITIONS_MAX];
	if (find_ends(restore, topic, positions, lows, highs, err) < 0)
		return -1;
	for (int32_t i = 0; i < topic->partitions; i++) {
		positions[i].offset = lows[i];
		if (read_partition(restore, &positions[i], highs[i], err) < 0)
			return -1;
	}
	return stage(restore, err);
}

/* --- Postgres --- */

static int roll_forward(struct restore *restore, struct error *err)
{
	char after[UUID_TEXT_SIZE] = "00000000-0000-0000-0000-000000000000";
	for (;;) {
		CLEANUP(pg_result_p) PGresult *row = NULL;
		if (pg_query(restore->conn, &sql_restore_roll_forward, PG_PARAMS(after), 1, &row, err) < 0)
			return -1;
		const char *last = pg_text(row, 0, "last");
		if (last == NULL)
			return 0;
		memcpy(after, last, UUID_TEXT_SIZE);
		restore->report.rolled += pg_int(row, 0, "rolled", 0);
	}
}

/* After the events were read: whatever has an event was requested before that. */
static int note_ends(struct restore *restore, struct error *err)
{
	if (pg_query(restore->conn, &sql_restore_forget_logs, NULL, 0, NULL, err) < 0)
		return -1;
	for (size_t t = 0; t < ARRAY_LEN(applied_topics); t++) {
		const struct topic *topic = topic_find(applied_topics[t]);
		struct kafka_position positions[PARTITIONS_MAX];
		int64_t highs[PARTITIONS_MAX];
		if (find_ends(restore, topic, positions, NULL, highs, err) < 0)
			return -1;
		for (int32_t i = 0; i < topic->partitions; i++) {
			const char *partition = LOG_INT(i), *end = LOG_INT(highs[i]);
			if (pg_query(restore->conn, &sql_restore_log, PG_PARAMS(topic->name, partition, end), 3, NULL, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int settle(struct restore *restore, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *epoch = NULL;
	CLEANUP(pg_result_p) PGresult *left = NULL;
	if (roll_forward(restore, err) < 0 || note_ends(restore, err) < 0 ||
		pg_query(restore->conn, &sql_restore_epoch, NULL, 0, &epoch, err) < 0 ||
		pg_query(restore->conn, &sql_restore_left, NULL, 0, &left, err) < 0)
		return -1;
	if (PQntuples(epoch) != 1)
		return error_set(err, ERR_NOT_FOUND, "there is no deployment: kiln-migrate makes it");
	restore->report.epoch = pg_int(epoch, 0, "epoch", 0);
	restore->report.waiting = pg_int(left, 0, "waiting", 0);
	restore->report.broken = pg_int(left, 0, "broken", 0);
	return refuse_services(restore->conn, err);
}

int restore_run(struct pg_conn *conn, const struct kafka_settings *kafka, int64_t timeout_ms,
				struct restore_report *ret_report, struct error *err)
{
	CLEANUP(restore_release) struct restore restore = {.conn = conn, .timeout_ms = timeout_ms};
	for (size_t i = 0; i < COL_COUNT; i++)
		pg_array_init(&restore.columns[i], COLUMN_BYTES);
	if (refuse_services(conn, err) < 0 || kafka_tail_new(kafka, NULL, 0, &restore.consumer, err) < 0 ||
		read_events(&restore, err) < 0)
		return -1;
	/* A service that is started too early finds nothing of the rest, or all. */
	if (pg_begin(conn, err) < 0 || settle(&restore, err) < 0 || pg_commit(conn, err) < 0) {
		pg_rollback(conn);
		return -1;
	}
	*ret_report = restore.report;
	return 0;
}

void restore_report_write(const struct restore_report *report, struct buffer *line)
{
	struct json_writer w;
	json_writer_init(&w, line);
	json_object_begin(&w, NULL);
	json_int(&w, "epoch", report->epoch);
	json_int(&w, "events", report->events);
	json_int(&w, "rolled", report->rolled);
	json_int(&w, "waiting", report->waiting);
	json_int(&w, "broken", report->broken);
	json_object_end(&w);
	CHECK(buffer_append_str(line, "\n") == 0 && buffer_ok(line));
}
