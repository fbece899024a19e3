#include "build-service/matching/matching.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/pg/pg.h"

#define MAX_CLASSES 100000
#define MAX_LIMIT 1000 /* of a project, by its table */

/* The workers that can serve a class, by rising number of spare labels. */
struct suitable {
	size_t len;
	struct entry {
		struct match_worker *worker;
		size_t spare;
	} entries[];
};

/* Which places of a project are taken. */
struct project {
	int32_t taken;
	uint64_t places[MAX_LIMIT / 64 + 1]; /* one bit each, from 1 */
};

static bool can_serve(const struct match_worker *worker, const char *class_name, size_t *ret_spare)
{
	*ret_spare = strv_len(worker->labels);
	if (strcmp(class_name, "*") == 0)
		return true;
	CLEANUP(strv_free_p) char **parts = strv_split(class_name, ',');
	if (parts[0] == NULL || !strv_contains(worker->agents, parts[0]))
		return false;
	for (char **label = parts + 1; *label != NULL; label++) {
		if (!strv_contains(worker->labels, *label))
			return false;
		(*ret_spare)--;
	}
	return true;
}

bool match_can_serve(const struct match_worker *worker, const char *class_name)
{
	size_t spare;
	return can_serve(worker, class_name, &spare);
}

static void copy_uuid(char ret[UUID_TEXT_SIZE], const char *text)
{
	CHECK(strlen(text) == UUID_TEXT_SIZE - 1);
	memcpy(ret, text, UUID_TEXT_SIZE);
}

struct match_candidate *match_candidates_read(const PGresult *rows, struct arena *arena, size_t *ret_len)
{
	size_t len = (size_t)PQntuples(rows);
	struct match_candidate *candidates = arena_alloc(arena, (len + 1) * sizeof(*candidates));
	for (int row = 0; row < PQntuples(rows); row++) {
		struct match_candidate *candidate = &candidates[row];
		copy_uuid(candidate->build_id, pg_text(rows, row, "build_id"));
		copy_uuid(candidate->project_id, pg_text(rows, row, "project_id"));
		candidate->class_name = arena_strdup(arena, pg_text(rows, row, "class"));
		candidate->limit = (int32_t)pg_int(rows, row, "concurrency", 0);
	}
	*ret_len = len;
	return candidates;
}

struct match_slot *match_slots_read(const PGresult *rows, struct arena *arena, size_t *ret_len)
{
	size_t len = (size_t)PQntuples(rows);
	struct match_slot *slots = arena_alloc(arena, (len + 1) * sizeof(*slots));
	for (int row = 0; row < PQntuples(rows); row++) {
		copy_uuid(slots[row].project_id, pg_text(rows, row, "project_id"));
		slots[row].n = (int32_t)pg_int(rows, row, "n", 0);
	}
	*ret_len = len;
	return slots;
}

struct match_worker *match_workers_read(const PGresult *rows, struct arena *arena, size_t *ret_len)
{
	size_t len = (size_t)PQntuples(rows);
	struct match_worker *workers = arena_alloc(arena, (len + 1) * sizeof(*workers));
	for (int row = 0; row < PQntuples(rows); row++) {
		struct match_worker *worker = &workers[row];
		memcpy(worker->address.worker_id, pg_text(rows, row, "id"), UUID_TEXT_SIZE);
		worker->address.incarnation.counter = pg_int(rows, row, "incarnation", 0);
		memcpy(worker->address.incarnation.nonce, pg_text(rows, row, "nonce"), UUID_TEXT_SIZE);
		worker->labels = strv_split(pg_text(rows, row, "labels"), ',');
		worker->agents = strv_split(pg_text(rows, row, "agents"), ',');
		worker->free = (int32_t)pg_int(rows, row, "free", 0);
	}
	*ret_len = len;
	return workers;
}

void match_workers_release(struct match_worker *workers, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		strv_free(workers[i].labels);
		strv_free(workers[i].agents);
	}
}

static int compare_entries(const void *a, const void *b)
{
	size_t left = ((const struct entry *)a)->spare, right = ((const struct entry *)b)->spare;
	return left < right ? -1 : left > right;
}

static struct suitable *find_suitable(struct match_worker *workers, size_t workers_len, const char *class_name)
{
	struct suitable *suitable = xcalloc(1, sizeof(*suitable) + workers_len * sizeof(suitable->entries[0]));
	for (size_t i = 0; i < workers_len; i++) {
		size_t spare;
		if (can_serve(&workers[i], class_name, &spare))
			suitable->entries[suitable->len++] = (struct entry){&workers[i], spare};
	}
	qsort(suitable->entries, suitable->len, sizeof(suitable->entries[0]), compare_entries);
	return suitable;
}

/* Among the workers with the fewest spare labels that have a free slot, the one with the most free slots: load spreads.
 */
static struct match_worker *pick(const struct suitable *suitable)
{
	struct match_worker *best = NULL;
	size_t spare = 0;
	for (size_t i = 0; i < suitable->len; i++) {
		struct match_worker *worker = suitable->entries[i].worker;
		if (best != NULL && suitable->entries[i].spare > spare)
			break;
		if (worker->free > 0 && (best == NULL || worker->free > best->free)) {
			best = worker;
			spare = suitable->entries[i].spare;
		}
	}
	return best;
}

static struct project *project_of(struct map *projects, const char *project_id)
{
	struct project *project = map_get_str(projects, project_id);
	if (project == NULL) {
		project = xcalloc(1, sizeof(*project));
		CHECK(map_set(projects, project_id, strlen(project_id), project) == 0);
	}
	return project;
}

static void take_place(struct project *project, int32_t n)
{
	if (n >= 1 && n <= MAX_LIMIT)
		project->places[n / 64] |= UINT64_C(1) << n % 64;
	project->taken++;
}

static void note_slots(struct map *projects, const struct match_slot *slots, size_t slots_len)
{
	for (size_t i = 0; i < slots_len; i++) {
		struct project *project = project_of(projects, slots[i].project_id);
		take_place(project, slots[i].n);
	}
}

/* 0 when the project is full: as many builds run as it may have, wherever their places are (the limit may have been
 * lowered). */
static int32_t free_place(const struct project *project, int32_t limit)
{
	if (project->taken >= limit)
		return 0;
	for (int32_t n = 1; n <= limit; n++) {
		if ((project->places[n / 64] >> n % 64 & 1) == 0)
			return n;
	}
	return 0;
}

struct match_result match(struct match_worker *workers, size_t workers_len, struct match_candidate *candidates,
						  size_t candidates_len, const struct match_slot *slots, size_t slots_len)
{
	struct match_result result = {.assigned = 0};
	CLEANUP(map_free_p) struct map *classes = map_new(MAX_CLASSES, free);
	CLEANUP(map_free_p) struct map *projects = map_new(candidates_len + slots_len + 1, free);
	note_slots(projects, slots, slots_len);
	for (size_t i = 0; i < candidates_len; i++) {
		struct match_candidate *candidate = &candidates[i];
		candidate->worker = NULL;
		candidate->slot = 0;
		candidate->full = false;
		struct project *project = NULL;
		int32_t place = 0;
		if (candidate->limit > 0) {
			project = project_of(projects, candidate->project_id);
			place = free_place(project, candidate->limit < MAX_LIMIT ? candidate->limit : MAX_LIMIT);
			if (place == 0) {
				candidate->full = true;
				result.full++;
				continue;
			}
		}
		struct suitable *suitable = map_get_str(classes, candidate->class_name);
		if (suitable == NULL) {
			suitable = find_suitable(workers, workers_len, candidate->class_name);
			CHECK(map_set(classes, candidate->class_name, strlen(candidate->class_name), suitable) == 0);
		}
		struct match_worker *worker = pick(suitable);
		if (worker == NULL)
			continue;
		if (project != NULL)
			take_place(project, place);
		candidate->slot = place;
		candidate->worker = worker;
		worker->free--;
		result.assigned++;
	}
	return result;
}
