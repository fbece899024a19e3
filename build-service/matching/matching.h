/*
 * Which build goes to which worker (docs/protocol.md section 6). Pure: candidates in the order of their turn, workers
 * with their free slots; each candidate gets the free slot with the fewest spare labels, if there is one and its
 * project is below its limit. sql/ beside this file says who is a candidate and who may get something.
 *
 * These are the dispatcher's rules, and all of them: the gateway explains a wait (GET /builds/{taskId}/explain) by
 * calling the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "build-service/addressee.h"
#include "common/base/arena.h"

/* Builds of one match, and how many of full projects may stand before those that can run (match_candidates.sql). */
#define MATCH_MAX 500
#define MATCH_LOOK_PAST 20
#define MATCH_LOOK_PAST_CROWD 2000

struct match_worker {
	struct addressee address;
	char **labels; /* NULL-terminated */
	char **agents;
	int32_t free;
};

struct match_candidate {
	char build_id[UUID_TEXT_SIZE];
	char project_id[UUID_TEXT_SIZE];
	const char *class_name; /* "agent,label,…", "*" = any worker */
	int32_t limit;          /* of its project; 0 = none */
	/* Found: */
	bool full;                         /* its project is */
	const struct match_worker *worker; /* NULL = it has to wait */
	int32_t slot;                      /* the place in its project, from 1; 0 = it needs none */
};

/* A place in a project that is taken. */
struct match_slot {
	char project_id[UUID_TEXT_SIZE];
	int32_t n;
};

struct match_result {
	size_t assigned;
	size_t full; /* candidates of full projects: others behind them may run */
};

/* Rows of match_candidates.sql and match_slots.sql, in the arena. */
struct match_candidate *match_candidates_read(const PGresult *rows, struct arena *arena, size_t *ret_len);
struct match_slot *match_slots_read(const PGresult *rows, struct arena *arena, size_t *ret_len);
/* Rows of match_workers.sql. In the arena but for the labels and agents: match_workers_release. */
struct match_worker *match_workers_read(const PGresult *rows, struct arena *arena, size_t *ret_len);
void match_workers_release(struct match_worker *workers, size_t len);

/* Has it the class's agent and labels? */
bool match_can_serve(const struct match_worker *worker, const char *class_name);

struct match_result match(struct match_worker *workers, size_t workers_len, struct match_candidate *candidates,
						  size_t candidates_len, const struct match_slot *slots, size_t slots_len);
