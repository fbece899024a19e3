#include "notifier/events.h"

#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_notifier_parts_sql.h"
#include "notifier/webhook.h"

#define MAX_BODY_BYTES (16UL * 1024 * 1024)
/* A batch of the inbox is at most 16 MiB of values; as hex with what is around them. */
#define MAX_ARRAY_BYTES (64UL * 1024 * 1024)

/* Rows for one INSERT. */
struct rows {
	struct pg_array id, event_id, event_type, build_id, body, traceparent;
	size_t len;
};

static void rows_init(struct rows *rows)
{
	struct pg_array *const columns[] = {&rows->id,       &rows->event_id, &rows->event_type,
										&rows->build_id, &rows->body,     &rows->traceparent};

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_init(columns[i], MAX_ARRAY_BYTES);
	rows->len = 0;
}

static void rows_release(struct rows *rows)
{
	struct pg_array *const columns[] = {&rows->id,       &rows->event_id, &rows->event_type,
										&rows->build_id, &rows->body,     &rows->traceparent};

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_release(columns[i]);
}

static bool is_terminal(const char *type)
{
	return str_equal(type, "build.completed") || str_equal(type, "build.failed") || str_equal(type, "build.cancelled");
}

static int add_row(struct rows *rows, const struct inbox_record *record, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer body;
	char id[UUID_TEXT_SIZE];

	buffer_init(&body, MAX_BODY_BYTES);
	if (!uuid_is_valid(record->key, strlen(record->key)))
		return error_set(err, ERR_INVALID, "the key is no build id");
	if (!webhook_is_header_value(record->event.id))
		return error_set(err, ERR_INVALID, "the ce_id cannot stand in a header");
	if (webhook_body(record->event.type, record->event.time, record->key, record->data, record->data_len, &body, err) <
		0)
		return -1;
	uuid_v7(id);
	pg_array_add(&rows->id, id);
	pg_array_add(&rows->event_id, record->event.id);
	pg_array_add(&rows->event_type, record->event.type);
	pg_array_add(&rows->build_id, record->key);
	pg_array_add_bytes(&rows->body, body.data, body.len);
	pg_array_add(&rows->traceparent, record->event.traceparent[0] != '\0' ? record->event.traceparent : NULL);
	rows->len++;
	return 0;
}

static int insert(struct events *events, struct pg_conn *tx, struct rows *rows, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int result;

	pg_pipeline_init(&pipeline, tx);
	pg_pipeline_add(&pipeline, &sql_insert_deliveries,
					PG_PARAMS(pg_array_text(&rows->id), pg_array_text(&rows->event_id),
							  pg_array_text(&rows->event_type), pg_array_text(&rows->build_id),
							  pg_array_text(&rows->body), pg_array_text(&rows->traceparent),
							  LOG_INT(events->first_delay_ms)),
					7);
	pg_pipeline_commit_tx(&pipeline); /* compare-and-set, this and COMMIT: one round trip */
	result = pg_pipeline_run(&pipeline, results, err);
	if (result == 0) {
		events->inserted = pg_int(results[0], 0, "inserted", 0) > 0;
		if (pg_int(results[0], 0, "lost", 0) > 0)
			log_error("terminal events of builds that are not in the database: no webhook for them", "count",
					  pg_text(results[0], 0, "lost"), NULL);
	}
	pg_results_clear(results);
	return result;
}

int events_apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err)
{
	struct events *events = ctx;
	struct rows rows;
	int result = 0;

	events->inserted = false;
	rows_init(&rows);
	for (size_t i = 0; i < count && result == 0; i++) {
		if (!records[i]->legible)
			result = error_set(err, ERR_INVALID, "the record is no CloudEvent");
		else if (is_terminal(records[i]->event.type))
			result = add_row(&rows, records[i], err);
	}
	if (result == 0 && rows.len > 0)
		result = insert(events, tx, &rows, err);
	rows_release(&rows);
	return result;
}

void events_committed(void *ctx, const struct inbox_record *const *records, size_t count)
{
	struct events *events = ctx;

	(void)records;
	(void)count;
	if (events->inserted)
		deliveries_wake(events->deliveries);
	events->inserted = false;
}
