#include "build-service/workers.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

#define KEPT 256
#define UPSERT_COLUMNS 13

static const char *const state_names[] = {NULL, "active", "draining", "lost", "gone"};

const char *worker_state_name(enum worker_state state)
{
	return state_names[state];
}

static enum worker_state parse_state(const char *text)
{
	for (size_t i = 1; i < ARRAY_LEN(state_names); i++) {
		if (str_equal(state_names[i], text))
			return (enum worker_state)i;
	}
	CHECK(!"a worker's state");
	return WORKER_UNKNOWN;
}

void worker_set_init(struct worker_set *set)
{
	*set = (struct worker_set){.workers = NULL};
	rows_init(&set->ids, 1);
	rows_init(&set->upserts, UPSERT_COLUMNS);
	rows_init(&set->changes, 3);
}

void worker_set_release(struct worker_set *set)
{
	free(set->workers);
	rows_release(&set->ids);
	rows_release(&set->upserts);
	rows_release(&set->changes);
}

void worker_set_begin(struct worker_set *set)
{
	if (set->size > KEPT) {
		free(set->workers);
		set->workers = NULL;
		set->size = 0;
	}
	set->len = 0;
	rows_clear(&set->ids);
	rows_clear(&set->upserts);
	rows_clear(&set->changes);
}

void worker_set_want(struct worker_set *set, const char *id)
{
	if (set->len == set->size) {
		set->size = set->size == 0 ? 16 : set->size * 2;
		set->workers = xreallocarray(set->workers, set->size, sizeof(*set->workers));
	}
	struct worker *worker = &set->workers[set->len++];
	*worker = (struct worker){.state = WORKER_UNKNOWN};
	memcpy(worker->id, id, UUID_TEXT_SIZE);
	worker->partition = topic_partition(topic_find(TOPIC_WORKER_EVENTS), id, strlen(id));
}

static int compare_workers(const void *a, const void *b)
{
	return strcmp(((const struct worker *)a)->id, ((const struct worker *)b)->id);
}

void worker_set_pipeline_load(struct worker_set *set, struct pg_pipeline *pipeline, int *ret_first)
{
	*ret_first = -1;
	if (set->len == 0)
		return;
	qsort(set->workers, set->len, sizeof(*set->workers), compare_workers);
	size_t kept = 0;
	for (size_t i = 0; i < set->len; i++) {
		if (kept > 0 && compare_workers(&set->workers[kept - 1], &set->workers[i]) == 0)
			continue;
		if (kept != i)
			set->workers[kept] = set->workers[i];
		rows_text(&set->ids, set->workers[kept].id);
		kept++;
	}
	set->len = kept;
	*ret_first = (int)pipeline->len;
	rows_pipeline(&set->ids, pipeline, &sql_lock_workers, NULL);
	rows_pipeline(&set->ids, pipeline, &sql_read_workers, NULL);
	rows_pipeline(&set->ids, pipeline, &sql_read_held_attempts, NULL);
}

struct worker *worker_set_find(struct worker_set *set, const char *id)
{
	struct worker key = {.id = ""};
	memcpy(key.id, id, UUID_TEXT_SIZE);
	return set->len == 0 ? NULL : bsearch(&key, set->workers, set->len, sizeof(*set->workers), compare_workers);
}

static void copy_text(char *field, size_t size, const char *text)
{
	size_t len = strlen(text);
	CHECK(len < size);
	memcpy(field, text, len + 1);
}

static void read_held(struct held_attempt *held, const PGresult *rows, int row)
{
	copy_text(held->token.build_id, sizeof(held->token.build_id), pg_text(rows, row, "build_id"));
	held->token.attempt = (int32_t)pg_int(rows, row, "attempt", 0);
	copy_text(held->token.lease_id, sizeof(held->token.lease_id), pg_text(rows, row, "lease_id"));
	held->incarnation.counter = pg_int(rows, row, "incarnation", 0);
	copy_text(held->incarnation.nonce, sizeof(held->incarnation.nonce), pg_text(rows, row, "nonce"));
	held->accepted = str_equal(pg_text(rows, row, "state"), "accepted");
}

void worker_set_loaded(struct worker_set *set, struct arena *arena, const PGresult *rows, const PGresult *held)
{
	for (int row = 0; row < PQntuples(rows); row++) {
		struct worker *worker = worker_set_find(set, pg_text(rows, row, "id"));
		CHECK(worker != NULL);
		worker->state = parse_state(pg_text(rows, row, "state"));
		worker->incarnation.counter = pg_int(rows, row, "incarnation", 0);
		copy_text(worker->incarnation.nonce, sizeof(worker->incarnation.nonce), pg_text(rows, row, "nonce"));
		worker->drain_requested = pg_bool(rows, row, "drain_requested");
	}
	/* The rows come by worker: each has a run of them. */
	int count = PQntuples(held);
	struct held_attempt *all = arena_alloc(arena, ((size_t)count + 1) * sizeof(*all));
	for (int row = 0; row < count; row++) {
		struct worker *worker = worker_set_find(set, pg_text(held, row, "worker_id"));
		CHECK(worker != NULL);
		read_held(&all[row], held, row);
		if (worker->held_len == 0)
			worker->held = &all[row];
		worker->held_len++;
	}
}

static void add_upsert(struct rows *rows, const struct worker *worker)
{
	const struct worker_facts *facts = &worker->facts;
	rows_text(rows, worker->id);
	rows_int(rows, worker->partition);
	rows_int(rows, worker->incarnation.counter);
	rows_text(rows, worker->incarnation.nonce);
	rows_text(rows, worker_state_name(worker->state));
	rows_int(rows, facts->slots);
	rows_text(rows, facts->labels);
	rows_text(rows, facts->agents);
	rows_text(rows, facts->hostname);
	rows_text(rows, facts->version);
	rows_text(rows, facts->sandbox);
	rows_int(rows, facts->read_offset);
	rows_bool(rows, worker->drain_requested);
}

void worker_set_pipeline_store(struct worker_set *set, struct pg_pipeline *pipeline)
{
	for (size_t i = 0; i < set->len; i++) {
		const struct worker *worker = &set->workers[i];
		if (worker->heard) {
			add_upsert(&set->upserts, worker);
		} else if (worker->changed) {
			rows_text(&set->changes, worker->id);
			rows_text(&set->changes, worker_state_name(worker->state));
			rows_bool(&set->changes, worker->drain_requested);
		}
	}
	rows_pipeline(&set->upserts, pipeline, &sql_upsert_workers, NULL);
	rows_pipeline(&set->changes, pipeline, &sql_change_workers, NULL);
}
