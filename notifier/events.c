#include "notifier/events.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/model/event_types.h"
#include "common/pg/rows.h"
#include "kiln_notifier_parts_sql.h"
#include "notifier/webhook.h"

#define MAX_BODY_BYTES (16UL * 1024 * 1024)
/* A batch of the inbox is at most 16 MiB of values, with what is around them. */
#define MAX_ARRAY_BYTES (64UL * 1024 * 1024)

/* Of insert_deliveries.sql: id, ce_id, type, build, body, traceparent. */
#define COLUMNS 6

static int check(const struct inbox_record *record, struct error *err)
{
	if (!uuid_is_valid(record->key, strlen(record->key)))
		return error_set(err, ERR_INVALID, "the key is no build id");
	if (!webhook_is_header_value(record->event.id))
		return error_set(err, ERR_INVALID, "the ce_id cannot stand in a header");
	return 0;
}

static int add_row(struct rows *rows, const struct inbox_record *record, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer body;
	char id[UUID_TEXT_SIZE];

	buffer_init(&body, MAX_BODY_BYTES);
	if (webhook_body(record->event.type, record->event.time, record->key, record->data, record->data_len, &body, err) <
		0)
		return -1;
	uuid_v7(id);
	rows_text(rows, id);
	rows_text(rows, record->event.id);
	rows_text(rows, record->event.type);
	rows_text(rows, record->key);
	rows_bytes(rows, body.data, body.len);
	rows_text_or_null(rows, record->event.traceparent);
	return 0;
}

static int insert(struct events *events, struct pg_conn *tx, struct rows *rows, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];

	pg_pipeline_init(&pipeline, tx);
	rows_pipeline(rows, &pipeline, &sql_insert_deliveries, LOG_INT(events->first_delay_ms));
	pg_pipeline_commit_tx(&pipeline);
	int result = pg_pipeline_run(&pipeline, results, err);
	if (result == 0)
		events->inserted = pg_int(results[0], 0, "inserted", 0) > 0;
	pg_results_clear(results);
	return result;
}

/* What find_callbacks.sql says of the terminal events, in their order. */
static int find_callbacks(struct pg_conn *tx, const struct inbox_record *const *terminal, size_t count,
						  PGresult **ret_rows, struct error *err)
{
	struct pg_array builds;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];

	pg_array_init_binary(&builds, PG_UUID, MAX_ARRAY_BYTES);
	for (size_t i = 0; i < count; i++)
		pg_array_add(&builds, terminal[i]->key);
	pg_pipeline_init(&pipeline, tx);
	pg_pipeline_add(&pipeline, &sql_find_callbacks, PG_PARAMS(NULL), 1);
	pg_pipeline_array(&pipeline, 0, &builds);
	int result = pg_pipeline_run(&pipeline, results, err);
	pg_array_release(&builds);
	*ret_rows = result == 0 ? results[0] : NULL;
	if (result < 0)
		pg_results_clear(results);
	return result;
}

static int apply_terminal(struct events *events, struct pg_conn *tx, const struct inbox_record *const *terminal,
						  size_t count, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *found = NULL;
	struct rows rows;
	size_t lost = 0;
	const char *last_lost = NULL;
	int result = find_callbacks(tx, terminal, count, &found, err);

	rows_init_for(&rows, &sql_insert_deliveries, COLUMNS);
	for (size_t i = 0; i < count && result == 0; i++) {
		bool is_lost = pg_bool(found, (int)i, "lost");
		lost += is_lost;
		last_lost = is_lost ? terminal[i]->key : last_lost;
		if (pg_bool(found, (int)i, "wanted"))
			result = add_row(&rows, terminal[i], err);
	}
	if (result == 0 && rows.len > 0)
		result = insert(events, tx, &rows, err);
	rows_release(&rows);
	/* A build's row is there before its events are. */
	if (result == 0 && lost > 0)
		log_error("terminal events of builds that are not in the database: no webhook for them", "count", LOG_INT(lost),
				  "build_id", last_lost, NULL);
	return result;
}

bool events_ask_first(void *ctx, const struct inbox_record *const *records, size_t count)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++) {
		if (event_type_ends_build(records[i]->event.type))
			return true;
	}
	return false;
}

int events_apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err)
{
	struct events *events = ctx;
	CLEANUP(free_p) const struct inbox_record **terminal = xcalloc(count, sizeof(void *));
	size_t len = 0;

	events->inserted = false;
	for (size_t i = 0; i < count; i++) {
		if (!records[i]->legible)
			return error_set(err, ERR_INVALID, "the record is no CloudEvent");
		if (!event_type_ends_build(records[i]->event.type))
			continue;
		if (check(records[i], err) < 0)
			return -1;
		terminal[len++] = records[i];
	}
	return len == 0 ? 0 : apply_terminal(events, tx, terminal, len, err);
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
