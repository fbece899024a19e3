#include <string.h>

#include "build-service/batch_private.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"

void batch_release_records(struct batch *batch)
{
	for (size_t i = 0; i < batch->requests_len; i++)
		request_release(&batch->requests[i]);
	for (size_t i = 0; i < batch->reports_len; i++)
		report_release(&batch->reports[i]);
	for (size_t i = 0; i < batch->events_len; i++)
		worker_event_release(&batch->events[i]);
	batch->requests_len = batch->reports_len = batch->events_len = 0;
}

static int read_request(struct batch *batch, const struct inbox_record *record, struct error *err)
{
	struct request *request = &batch->requests[batch->requests_len];
	if (request_read(record, batch->service->schemas, &batch->set.arena, request, err) < 0)
		return -1;
	if (request->kind == REQUEST_OTHER)
		return 0;
	batch->requests_len++;
	build_set_want(&batch->set, request->build_id);
	if (request->project_id[0] != '\0') {
		rows_text(&batch->project_ids, request->project_id);
		if (json_get_bool(request->data, "provisional", false))
			rows_text(&batch->provisional, request->project_id);
	}
	if (request->kind != REQUEST_BUILD)
		return 0;
	rows_text(&batch->request_ids, request->build_id);
	if (uuid_version(request->build_id) == 8)
		rows_text(&batch->keyed_ids, request->build_id);
	return 0;
}

static int read_report(struct batch *batch, const struct inbox_record *record, struct error *err)
{
	struct report *report = &batch->reports[batch->reports_len];
	if (!record->legible)
		return error_set(err, ERR_INVALID, "the record has no CloudEvents headers");
	if (report_read(record->event.id, record->event.type, record->data, record->data_len, batch->service->schemas,
					&batch->set.arena, report, err) < 0)
		return -1;
	if (report->kind == REPORT_OTHER)
		return 0;
	batch->reports_len++;
	build_set_want(&batch->set, report->occurrence.token.build_id);
	return 0;
}

static int read_event(struct batch *batch, const struct inbox_record *record, struct error *err)
{
	struct worker_event *event = &batch->events[batch->events_len];
	if (worker_event_read(record, &batch->set.arena, event, err) < 0)
		return -1;
	if (event->kind == WORKER_EVENT_OTHER)
		return 0;
	batch->events_len++;
	worker_set_want(&batch->workers, event->from.worker_id);
	return 0;
}

static int read_record(struct batch *batch, const struct inbox_record *record, struct error *err)
{
	if (strcmp(record->topic, TOPIC_BUILD_REQUESTS) == 0)
		return read_request(batch, record, err);
	if (strcmp(record->topic, TOPIC_BUILD_RESULTS) == 0)
		return read_report(batch, record, err);
	if (strcmp(record->topic, TOPIC_WORKER_EVENTS) == 0)
		return read_event(batch, record, err);
	return 0;
}

int batch_read_records(struct batch *batch, const struct inbox_record *const *records, size_t count, struct error *err)
{
	batch->requests = arena_alloc(&batch->set.arena, (count + 1) * sizeof(*batch->requests));
	batch->reports = arena_alloc(&batch->set.arena, (count + 1) * sizeof(*batch->reports));
	batch->events = arena_alloc(&batch->set.arena, (count + 1) * sizeof(*batch->events));
	if (batch->pool == NULL)
		batch->pool = json_pool_new(JSON_POOL_BYTES);
	json_pool_open(batch->pool);
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = read_record(batch, records[i], err);
	json_pool_close(batch->pool);
	return rc;
}

void batch_leave(struct batch *batch)
{
	batch_release_records(batch);
	json_pool_free(batch->pool);
	batch->pool = NULL;
}
