#include "build-service/trail.h"

#include <string.h>

#include "common/base/alloc.h"
#include "common/json/json.h"

/* A trail that once was larger gives its memory back. */
#define TRAIL_KEPT_BYTES ((size_t)256 * 1024)
#define TRAIL_KEPT_ROWS 1024

void trail_init(struct trail *trail, struct arena *arena)
{
	*trail = (struct trail){.arena = arena};
	buffer_init(&trail->bodies, TRAIL_MAX_BYTES);
}

void trail_release(struct trail *trail)
{
	buffer_release(&trail->bodies);
	free(trail->rows);
	trail->rows = NULL;
	trail->len = trail->size = 0;
}

void trail_begin(struct trail *trail)
{
	if (trail->bodies.size > TRAIL_KEPT_BYTES) {
		buffer_release(&trail->bodies);
		buffer_init(&trail->bodies, TRAIL_MAX_BYTES);
	}
	buffer_clear(&trail->bodies);
	if (trail->size > TRAIL_KEPT_ROWS) {
		free(trail->rows);
		trail->rows = NULL;
		trail->size = 0;
	}
	trail->len = 0;
	clock_format_rfc3339(clock_wall_us(), trail->time);
}

/* Keys in the order of RFC 8785: by code unit. */
static void write_body(struct buffer *body, const struct build *build, const struct trail_extra *extra)
{
	struct json_writer w;
	json_writer_init(&w, body);
	json_object_begin(&w, NULL);
	json_int(&w, "attempt", build->attempt.number);
	if (extra->with_base) {
		json_string(&w, "base_sha", extra->base_sha);
		json_string(&w, "branch", extra->branch);
	}
	json_string(&w, "build_id", build->id);
	if (extra->cancel_requested)
		json_bool(&w, "cancel_requested", true);
	if (extra->commit_sha != NULL)
		json_string(&w, "commit_sha", extra->commit_sha);
	if (extra->continued != NULL)
		json_string(&w, "continued", extra->continued);
	if (extra->error_class != NULL) {
		json_object_begin(&w, "error");
		json_string(&w, "class", extra->error_class);
		json_string(&w, "message", extra->error_message);
		json_object_end(&w);
	}
	if (extra->lost_attempt != 0)
		json_int(&w, "lost_attempt", extra->lost_attempt);
	json_raw(&w, "metadata", build->metadata);
	if (extra->mode != NULL)
		json_string(&w, "mode", extra->mode);
	json_string(&w, "phase", build_phase_name(build->phase));
	json_object_begin(&w, "project");
	json_string(&w, "id", build->project_id);
	json_string(&w, "name", build->project_name);
	json_object_end(&w);
	if (extra->reason != NULL)
		json_string(&w, "reason", extra->reason);
	if (extra->result != NULL)
		json_raw(&w, "result", extra->result);
	if (extra->sandbox != NULL)
		json_string(&w, "sandbox", extra->sandbox);
	json_int(&w, "sequence", build->last_sequence);
	json_string(&w, "status", build_status_name(build->status));
	if (extra->unsettled)
		json_bool(&w, "unsettled", true);
	if (extra->worker_id != NULL)
		json_string(&w, "worker_id", extra->worker_id);
	json_object_end(&w);
}

void trail_emit(struct trail *trail, struct build *build, const char *type, const struct trail_extra *extra)
{
	static const struct trail_extra nothing = {0};
	if (trail->len == trail->size) {
		trail->size = trail->size == 0 ? 64 : trail->size * 2;
		trail->rows = xreallocarray(trail->rows, trail->size, sizeof(*trail->rows));
	}
	struct trail_row *row = &trail->rows[trail->len++];
	build->last_sequence++;
	build->changed = true;
	*row = (struct trail_row){
		.build = build,
		.sequence = build->last_sequence,
		.type = type,
		.attempt = build->attempt.number,
		.body_at = trail->bodies.len,
	};
	write_body(&trail->bodies, build, extra == NULL ? &nothing : extra);
	row->body_len = trail->bodies.len - row->body_at;
	build->new_events++;
	build->new_bytes += row->body_len;
	sha256_two(build->last_hash, SHA256_SIZE, trail_body(trail, row), row->body_len, row->hash);
	memcpy(build->last_hash, row->hash, SHA256_SIZE);
}
