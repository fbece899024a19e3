/*
 * One match: who waits and what is free, the pairs, and what they change.
 *
 * The dispatcher has a transaction of its own for it, of three round trips, when a look has shown that anybody waits.
 * The look brings parked builds back into the line before, where a place in their project may have become free:
 *
 *     match_run_once(run, &again, &err);
 *
 * A transaction that frees slots (refill.h) may go on with a match. It has rows already that others may want, so
 * nothing is waited for there: not the match's lock, no build, no worker.
 *
 *     match_run_plan(run, vacated, &p);     with the statements that free the slots, or after them
 *     match_run_take(run, results, &err);   one round trip, when there are pairs
 *     match_run_pipeline_store(run, &p);    with COMMIT
 *     match_run_committed(run)              / match_run_failed(run, &err)
 *
 * One thread's.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/matching/matching.h"
#include "build-service/service.h"
#include "build-service/transitions.h"

struct match_run {
	struct service *service;
	struct pg_conn *conn;
	bool tries; /* nothing is waited for */
	struct build_set set;
	struct transition_context context;
	struct rows chosen, chosen_workers, claims, parked, vacated;
	int past;     /* how many more builds to look at: the last match met some of full projects */
	bool in_vain; /* the last match of this turn could assign nothing of what it had found */

	/* Of the match under way; in the set's arena, but for the result. */
	int lock, unpark, looks; /* its statements: unpark -1 = there is none; looks: the first of three */
	bool locked;
	int64_t unparked; /* builds */
	char fresh_ms[24], max[24], past_text[24];
	struct match_worker *workers;
	size_t workers_len;
	struct match_candidate *candidates;
	size_t candidates_len;
	struct match_result found;
	size_t assigned;       /* of those found: the others were changed, or locked, by somebody else meanwhile, or: */
	bool cut;              /* the last of those found are left to another match: what they ask for is too much */
	PGresult *assignments; /* rows of read_assignments.sql; NULL: nobody was assigned */
};

/* `conn`: the dispatcher's; NULL: of each transaction that goes on with a match. */
void match_run_init(struct match_run *run, struct service *service, struct pg_conn *conn);
void match_run_release(struct match_run *run);

/* *ret_again: another match may find more at once. */
int match_run_once(struct match_run *run, bool *ret_again, struct error *err) MUST_CHECK;

/* Adds the lock and the look: up to five statements. `vacated`: projects in which this transaction gives places back,
 * whose parked builds come back into the line before the look; NULL or empty: none. They stay until the pipeline ran. */
void match_run_plan(struct match_run *run, struct rows *vacated, struct pg_pipeline *pipeline);
/* Chooses, locks what was chosen, decides. `results`: of the pipeline that match_run_plan added to. */
int match_run_take(struct match_run *run, PGresult *const *results, struct error *err) MUST_CHECK;
/* Adds what writes it: up to eleven statements. *ret_parked: the index of the one that parks builds, -1 = there is
 * none. */
void match_run_pipeline_store(struct match_run *run, struct pg_pipeline *pipeline, int *ret_parked);
/* Sends the assignments, and the events to the relay. */
void match_run_committed(struct match_run *run);
/* With ERR_UNKNOWN it may have been committed: then the accept deadlines find out. */
void match_run_failed(struct match_run *run, const struct error *err);
/* Has it left nothing for another match: every pair that there was has been assigned? */
bool match_run_is_complete(const struct match_run *run);
/* Has it brought all those back into the line for whom there is room in the projects that match_run_plan was given? */
bool match_run_has_unparked(const struct match_run *run);
