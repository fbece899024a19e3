/*
 * Slots that a batch frees while builds wait get their next builds in the very transaction that frees them, not in
 * another one after its commit: a slot is idle for two round trips and a commit less.
 *
 * It is a match (match_run.h) that waits for nothing. Whenever anything stands in its way (the match's lock, a build or
 * a worker that somebody else has locked), the dispatcher is woken by the commit as ever: nothing is lost by not
 * trying.
 *
 *     refill_plan(refill, set, tx, &p);       after the statements that store, instead of COMMIT when it returns true
 *     refill_commit(refill, results, &err);   two round trips, or one when there is nothing to assign
 *     refill_committed(refill)                / refill_failed(refill, &err)
 *
 * One thread's: the inbox's.
 */
#pragma once

#include "build-service/match_run.h"

struct refill {
	struct match_run run;
	bool may, tried;       /* in the batch under way */
	int64_t not_before_ms; /* a batch has failed with it */
};

void refill_init(struct refill *refill, struct service *service);
void refill_release(struct refill *refill);
/* Forgets the batch before. */
void refill_begin(struct refill *refill);

/* Adds the match's statements behind those of the set's store, when that frees slots and somebody waits for one, or a
 * place in a project for which somebody may be parked; false: not. */
bool refill_plan(struct refill *refill, struct build_set *set, struct pg_conn *tx, struct pg_pipeline *pipeline);
/* The rest of the match, and COMMIT. `results`: of the pipeline that refill_plan added to. */
int refill_commit(struct refill *refill, PGresult *const *results, struct error *err) MUST_CHECK;
/* Sends the assignments. Returns whether another match has nothing to do for the slots that the batch freed. */
bool refill_committed(struct refill *refill);
/* Whether parked builds have come back for which the batch gave places back; otherwise it is to be noted. */
bool refill_has_unparked(const struct refill *refill);
/* Also of a batch in which nothing was tried. */
void refill_failed(struct refill *refill, const struct error *err);
