/*
 * Builds that get a worker in the very transaction that creates them: when nobody waits before them and a slot is free,
 * as in a system with room to spare. It saves them the queue, and a bot half of its wait.
 *
 * It is a match (docs/protocol.md section 6) under the same advisory lock, which is only tried here: this transaction
 * has rows that the lock's holder may want. Whenever anything stands in the way (the lock, somebody who waits, a
 * project with a limit, no slot), the build is queued and the dispatcher woken as ever: nothing is lost by not trying.
 *
 *     direct_plan(direct, &p);                      with the statements that load
 *     direct_assign(direct, results, …);            after the fold
 *     direct_pipeline_guard(direct, &p);            with the statements that store
 *     direct_committed / direct_failed(direct, …);
 *
 * A few new builds of known projects can do without loading anything: they are decided by the last look, which the
 * transaction then verifies.
 *
 *     direct_may_guess(direct, …)
 *     direct_guess(direct, …);                      after the fold
 *     direct_pipeline_expect(direct, &p, …);        before the statements that store
 *     direct_pipeline_guard(direct, &p);
 *     direct_committed / direct_failed(direct, …);
 *     direct_look(direct, …);                       when the builds have gone
 *
 * One thread's: the inbox's.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/last_look.h"
#include "build-service/leases.h"
#include "build-service/matching/matching.h"
#include "build-service/service.h"
#include "build-service/transitions.h"

struct direct {
	struct service *service;
	const struct leases *leases;
	char fresh_ms[24];     /* the configuration's, as a parameter */
	int64_t not_before_ms; /* something stood in the way a moment ago */

	/* Of the batch under way; in its set's arena. */
	int first; /* of its statements; -1 = not tried */
	struct build **assigned;
	size_t assigned_len;
	struct rows guarded;  /* workers that they go to, as far as they must be looked at again */
	struct rows expected; /* workers that they go to by a guess, and how many builds each gets */
	bool guessed;

	struct last_look last;
	bool look_due;
};

void direct_init(struct direct *direct, struct service *service, const struct leases *leases);
void direct_release(struct direct *direct);
/* Forgets the batch before. */
void direct_begin(struct direct *direct);

/* Adds three statements, or none when it is not to be tried. */
void direct_plan(struct direct *direct, struct pg_pipeline *pipeline);
/* Assigns what may be assigned of the set's new builds. `projects`: rows of read_projects.sql. `news`: the batch has
 * worker events, which the rows that were read here do not know. */
void direct_assign(struct direct *direct, PGresult *const *results, const PGresult *projects, bool news,
				   const struct transition_context *context, struct build_set *set);
/* Adds what makes the transaction fail (ERR_CONFLICT) when a chosen worker is not what it was any more. Only for those
 * that another instance minds, or of which the batch itself may have news: of the others everything is applied on this
 * thread, later. */
void direct_pipeline_guard(struct direct *direct, struct pg_pipeline *pipeline);
/* Has the last look shown room for so many builds, and are they few? */
bool direct_has_room(const struct direct *direct, size_t len);
/* And are their projects known, one for each? Then they may be decided by the last look. */
bool direct_may_guess(const struct direct *direct, const char *const *projects, size_t len);
/* As direct_assign, by the last look. What gets no worker is queued: nobody waits before it. */
void direct_guess(struct direct *direct, const struct transition_context *context, struct build_set *set);
/* Adds what makes the transaction fail (ERR_CONFLICT) unless the last look still holds, for the set's builds and for
 * `projects`, one row an id. */
void direct_pipeline_expect(struct direct *direct, struct pg_pipeline *pipeline, struct build_set *set,
							struct rows *projects);
/* Sends the assignments. */
void direct_committed(struct direct *direct, const struct build_set *set);
/* Looks at the workers again when a guess has used up what was known; outside of a transaction. For the tick. */
int direct_look(struct direct *direct, struct pg_conn *conn, struct error *err) MUST_CHECK;
/* The transaction failed. With ERR_UNKNOWN it may have been committed: then the accept deadlines find out. */
void direct_failed(struct direct *direct, const struct error *err);
