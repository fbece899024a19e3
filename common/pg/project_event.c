#include "common/pg/project_event.h"

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/kafka/topics.h"
#include "common/model/project.h"

#define EVENT_MAX_BYTES ((size_t)1024 * 1024)

void project_identity_write(struct json_writer *w, const char *git_base_url, const PGresult *rows, int row)
{
	const char *name = pg_text(rows, row, "name"), *concurrency = pg_text(rows, row, "concurrency");
	CLEANUP(buffer_release_p) struct buffer url;
	buffer_init(&url, 4096);
	bool has_url = project_git_url(git_base_url, pg_text(rows, row, "git_url"), name, &url);
	json_string(w, "id", pg_text(rows, row, "id"));
	json_string(w, "name", name);
	json_string(w, "git_url", has_url ? url.data : NULL);
	json_string(w, "branch", pg_text(rows, row, "branch"));
	json_string(w, "credential", pg_text(rows, row, "credential"));
	json_raw(w, "concurrency", concurrency);
	json_raw(w, "agent", pg_text(rows, row, "agent"));
	network_write(w, pg_text(rows, row, "network"));
}

void project_history_write(struct json_writer *w, const PGresult *rows, int row)
{
	json_string(w, "created_at", pg_text(rows, row, "created_at"));
	json_string(w, "updated_at", pg_text(rows, row, "updated_at"));
	json_int(w, "version", pg_int(rows, row, "version", 1));
}

void project_event_add(struct outbox_rows *events, const struct project_teller *teller, const char *type,
					   const PGresult *rows, int row)
{
	const char *id = pg_text(rows, row, "id");
	int64_t sequence = pg_int(rows, row, "last_sequence", 0);
	char ce_id[96], time[CLOCK_RFC3339_SIZE];
	(void)snprintf(ce_id, sizeof(ce_id), "project/%s/%lld", id, (long long)sequence); /* an id has 36 characters */
	clock_format_rfc3339(clock_wall_us(), time);
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, EVENT_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &body);
	json_object_begin(&w, NULL);
	json_object_begin(&w, "project");
	project_identity_write(&w, teller->git_base_url, rows, row);
	project_history_write(&w, rows, row);
	json_object_end(&w);
	json_int(&w, "sequence", sequence);
	json_object_end(&w);
	CHECK(buffer_ok(&body));
	outbox_rows_add(events, TOPIC_PROJECT_EVENTS, id, sequence, ce_id, type, teller->source, time, NULL,
					teller->traceparent, body.data, body.len);
}
