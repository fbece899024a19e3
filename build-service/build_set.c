#include "build-service/build_set.h"

#include <string.h>

#include "build-service/build_rows.h"
#include "build-service/counters.h"
#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

#define ID_LIST_KEPT 1024
#define TRAIL_COLUMNS 6

void build_set_init(struct build_set *set)
{
	*set = (struct build_set){.ids = NULL};
	arena_init(&set->arena);
	trail_init(&set->trail, &set->arena);
	rows_init_for(&set->id_rows, &sql_lock_builds, 1);
	rows_init_for(&set->new_builds, &sql_insert_builds, BUILD_INSERT_COLUMNS);
	rows_init_for(&set->new_requests, &sql_insert_build_requests, BUILD_REQUEST_COLUMNS);
	rows_init_for(&set->changed_builds, &sql_update_builds, BUILD_UPDATE_COLUMNS);
	rows_init_for(&set->new_attempts, &sql_insert_attempts, ATTEMPT_INSERT_COLUMNS);
	rows_init_for(&set->changed_attempts, &sql_update_attempts, ATTEMPT_UPDATE_COLUMNS);
	rows_init_for(&set->trail_rows, &sql_insert_trail, TRAIL_COLUMNS);
	outbox_names_init(&set->names);
	rows_init_for(&set->enqueued, &sql_enqueue, QUEUE_INSERT_COLUMNS);
	rows_init_for(&set->dequeued, &sql_dequeue, 1);
	rows_init_for(&set->released, &sql_release_slots, 1);
	rows_init(&set->vacated, 1);
}

void build_set_release(struct build_set *set)
{
	arena_release(&set->arena);
	trail_release(&set->trail);
	free(set->ids);
	free(set->builds);
	struct rows *const all[] = {&set->id_rows,      &set->new_builds,       &set->new_requests, &set->changed_builds,
								&set->new_attempts, &set->changed_attempts, &set->trail_rows,   &set->enqueued,
								&set->dequeued,     &set->released,         &set->vacated};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		rows_release(all[i]);
	outbox_names_release(&set->names);
}

static void clear_rows(struct build_set *set)
{
	struct rows *const all[] = {&set->new_builds,       &set->new_requests, &set->changed_builds, &set->new_attempts,
								&set->changed_attempts, &set->trail_rows,   &set->enqueued,       &set->dequeued,
								&set->released,         &set->vacated};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		rows_clear(all[i]);
	outbox_names_clear(&set->names);
	set->queued = set->woke_dispatch = set->rewritten = false;
}

void build_set_begin(struct build_set *set)
{
	arena_reset(&set->arena);
	trail_begin(&set->trail);
	rows_clear(&set->id_rows);
	clear_rows(set);
	free(set->builds);
	set->builds = NULL;
	set->ids_len = 0;
	if (set->ids_size > ID_LIST_KEPT) {
		free(set->ids);
		set->ids = NULL;
		set->ids_size = 0;
	}
}

void build_set_want(struct build_set *set, const char *id)
{
	CHECK(set->builds == NULL);
	if (set->ids_len == set->ids_size) {
		set->ids_size = set->ids_size == 0 ? 64 : set->ids_size * 2;
		set->ids = xreallocarray(set->ids, set->ids_size, sizeof(*set->ids));
	}
	CHECK(uuid_is_valid(id, strlen(id)));
	memcpy(set->ids[set->ids_len++], id, UUID_TEXT_SIZE);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_TEXT_SIZE);
}

/* The order of lower-case UUID texts is Postgres' order of uuids: rows and wanted ids can be merged. */
static void sort_ids(struct build_set *set)
{
	qsort(set->ids, set->ids_len, sizeof(*set->ids), compare_ids);
	size_t kept = 0;
	for (size_t i = 0; i < set->ids_len; i++) {
		if (kept == 0 || memcmp(set->ids[kept - 1], set->ids[i], UUID_TEXT_SIZE) != 0) {
			if (kept != i)
				memcpy(set->ids[kept], set->ids[i], UUID_TEXT_SIZE);
			kept++;
		}
	}
	set->ids_len = kept;
}

void build_set_assume_new(struct build_set *set)
{
	CHECK(set->builds == NULL);
	sort_ids(set);
	set->builds = xcalloc(set->ids_len, sizeof(*set->builds));
	rows_clear(&set->id_rows);
	for (size_t i = 0; i < set->ids_len; i++) {
		memcpy(set->builds[i].id, set->ids[i], UUID_TEXT_SIZE);
		rows_text(&set->id_rows, set->ids[i]);
	}
}

static void pipeline_load(struct build_set *set, struct pg_pipeline *pipeline, const struct pg_statement *lock,
						  int *ret_first)
{
	*ret_first = -1;
	if (set->ids_len == 0)
		return;
	build_set_assume_new(set);
	*ret_first = (int)pipeline->len;
	rows_pipeline(&set->id_rows, pipeline, lock, NULL);
	rows_pipeline(&set->id_rows, pipeline, &sql_read_builds, NULL);
}

void build_set_pipeline_load(struct build_set *set, struct pg_pipeline *pipeline, int *ret_first)
{
	pipeline_load(set, pipeline, &sql_lock_builds, ret_first);
}

void build_set_pipeline_try_load(struct build_set *set, struct pg_pipeline *pipeline, int *ret_first)
{
	pipeline_load(set, pipeline, &sql_try_lock_builds, ret_first);
}

void build_set_loaded(struct build_set *set, const PGresult *rows)
{
	build_rows_check(rows);
	size_t at = 0;
	for (int row = 0; row < PQntuples(rows); row++) {
		while (at < set->ids_len && memcmp(set->ids[at], build_rows_id(rows, row), UUID_TEXT_SIZE - 1) != 0)
			at++;
		CHECK(at < set->ids_len);
		build_rows_read(rows, row, &set->arena, &set->builds[at]);
	}
}

struct build *build_set_find(struct build_set *set, const char *id)
{
	if (set->builds == NULL)
		return NULL;
	char key[UUID_TEXT_SIZE] = "";
	size_t len = strlen(id);
	if (len >= sizeof(key))
		return NULL;
	memcpy(key, id, len + 1);
	const char(*found)[UUID_TEXT_SIZE] = bsearch(key, set->ids, set->ids_len, sizeof(*set->ids), compare_ids);
	return found == NULL ? NULL : &set->builds[found - (const char(*)[UUID_TEXT_SIZE])set->ids];
}

static void store_build(struct build_set *set, const struct build *build)
{
	const char *time = set->trail.time;
	if (build->is_new) {
		build_rows_add_insert(&set->new_builds, build, time);
		build_rows_add_request(&set->new_requests, build);
	} else {
		build_rows_add_update(&set->changed_builds, build, time);
	}
	if (build->attempt.is_new)
		build_rows_add_attempt(&set->new_attempts, build);
	else if (build->attempt.changed)
		build_rows_add_attempt_change(&set->changed_attempts, build);
	if (build->queue_changed) {
		if (build->was_waiting) {
			rows_text(&set->dequeued, build->id);
			set->woke_dispatch = true; /* a match may have met it, and left its slot */
		}
		if (build->queue.waiting)
			build_rows_add_queued(&set->enqueued, build);
		set->queued |= build->queue.waiting;
		set->woke_dispatch |= build->queue.waiting;
	}
}

static void store_released(struct build_set *set, const struct build *build)
{
	if (!build->slot_released)
		return;
	rows_text(&set->released, build->id);
	set->woke_dispatch = true;
}

/* It gives its place in the project back, or leaves the line without having been given one: who came back into the line
 * keeps those behind from coming (unpark.sql). */
static void store_vacated(struct build_set *set, struct build *build)
{
	bool left = build->changed && build->queue_changed && build->was_waiting && !build->attempt.is_new;
	build->vacated = left || (build->slot_released && build->has_place);
	if (build->vacated)
		rows_text(&set->vacated, build->project_id);
}

static void store_trail(struct build_set *set)
{
	for (size_t i = 0; i < set->trail.len; i++) {
		const struct trail_row *row = &set->trail.rows[i];
		rows_text(&set->trail_rows, row->build->id);
		rows_int(&set->trail_rows, row->sequence);
		rows_text(&set->trail_rows, row->type);
		rows_int(&set->trail_rows, row->attempt);
		rows_text_len(&set->trail_rows, trail_body(&set->trail, row), row->body_len);
		rows_bytes(&set->trail_rows, row->hash, sizeof(row->hash));
	}
}

static void pipeline_trail(struct build_set *set, struct pg_pipeline *pipeline)
{
	const char *params[TRAIL_COLUMNS + 1 + OUTBOX_NAME_COLUMNS] = {[TRAIL_COLUMNS] = set->trail.time};
	if (set->trail_rows.len == 0)
		return;
	pg_pipeline_add(pipeline, &sql_insert_trail, params, ARRAY_LEN(params));
	rows_params(&set->trail_rows, pipeline, 0);
	rows_params(&set->names.rows, pipeline, TRAIL_COLUMNS + 1);
}

void build_set_pipeline_store(struct build_set *set, struct pg_pipeline *pipeline)
{
	CHECK(trail_is_whole(&set->trail));
	clear_rows(set);
	for (size_t i = 0; i < set->ids_len; i++) {
		if (set->builds[i].changed)
			store_build(set, &set->builds[i]);
		store_released(set, &set->builds[i]);
		store_vacated(set, &set->builds[i]);
		outbox_names_add(&set->names, &set->builds[i]);
	}
	store_trail(set);
	rows_pipeline(&set->new_builds, pipeline, &sql_insert_builds, NULL);
	rows_pipeline(&set->new_requests, pipeline, &sql_insert_build_requests, NULL);
	rows_pipeline(&set->changed_builds, pipeline, &sql_update_builds, NULL);
	rows_pipeline(&set->new_attempts, pipeline, &sql_insert_attempts, NULL);
	rows_pipeline(&set->changed_attempts, pipeline, &sql_update_attempts, NULL);
	rows_pipeline(&set->released, pipeline, &sql_release_slots, NULL);
	rows_pipeline(&set->dequeued, pipeline, &sql_dequeue, NULL);
	rows_pipeline(&set->enqueued, pipeline, &sql_enqueue, NULL);
	pipeline_trail(set, pipeline);
}

static void keep_events(const struct build_set *set, struct outbox_relay *relay)
{
	struct outbox_committed *events = xcalloc(set->trail.len, sizeof(*events));
	for (size_t i = 0; i < set->trail.len; i++) {
		const struct trail_row *row = &set->trail.rows[i];
		events[i] = (struct outbox_committed){
			.build_id = row->build->id,
			.sequence = row->sequence,
			.type = row->type,
			.traceparent = row->build->traceparent,
			.hash = row->hash,
			.body = trail_body(&set->trail, row),
			.body_len = row->body_len,
		};
	}
	outbox_relay_keep(relay, events, set->trail.len);
	free(events);
}

void build_set_publish(const struct build_set *set, struct outbox_relay *relay)
{
	if (set->names.rows.len == 0)
		return;
	if (!set->rewritten)
		keep_events(set, relay);
	outbox_relay_wake(relay);
}

void build_set_committed(const struct build_set *set, struct outbox_relay *relay)
{
	for (size_t i = 0; i < set->ids_len; i++) {
		if (set->builds[i].finished_now)
			counters_finished(set->builds[i].status);
	}
	build_set_publish(set, relay);
}
