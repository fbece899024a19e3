/* One match. A look whether anybody waits; if so, a transaction of three round trips: the match's lock and a look at
 * all, the chosen ones locked and read, write and commit; then the assignments are sent. */
#pragma once

#include "build-service/build_set.h"
#include "build-service/matching/matching.h"
#include "build-service/service.h"
#include "build-service/transitions.h"

struct match_run {
	struct service *service;
	struct pg_conn *conn;
	struct build_set set;
	struct transition_context context;
	struct rows chosen_workers, claims, parked;
	bool crowded; /* the last match met many builds of full projects: look at more of them */

	/* Of the match under way, in the set's arena. */
	struct match_worker *workers;
	size_t workers_len;
	struct match_candidate *candidates;
	size_t candidates_len;
};

void match_run_init(struct match_run *run, struct service *service, struct pg_conn *conn);
void match_run_release(struct match_run *run);

/* *ret_again: another match may find more at once. */
int match_run_once(struct match_run *run, bool *ret_again, struct error *err) MUST_CHECK;
