/*
 * The builds of one transaction: their ids are collected, their rows locked in the order of the ids and read, changed
 * in memory by transitions, and each written once with its trail and outbox rows (docs/protocol.md section 2). Nothing
 * is kept from one transaction to the next.
 *
 *     build_set_begin(set);
 *     build_set_want(set, id) …           every id, before loading
 *     build_set_pipeline_load(set, &p);   two statements: lock, then read
 *     build_set_loaded(set, results[…]);
 *     transition_apply(&context, build_set_find(set, id), …) …
 *     build_set_pipeline_store(set, &p);  all that changed, as multi-row statements
 *
 * One thread's.
 */
#pragma once

#include "build-service/build.h"
#include "build-service/outbox_names.h"
#include "build-service/trail.h"
#include "common/base/arena.h"
#include "common/pg/outbox.h"
#include "common/pg/pg.h"
#include "common/pg/rows.h"

struct build_set {
	struct arena arena; /* lives as long as the transaction's memory is needed: until the next build_set_begin */
	struct trail trail;

	char (*ids)[UUID_TEXT_SIZE]; /* wanted; sorted and unique once loading began */
	size_t ids_len, ids_size;
	struct build *builds; /* one for each id, same order */
	struct rows id_rows;  /* the ids as one parameter */

	struct rows new_builds, new_requests, changed_builds, new_attempts, changed_attempts, trail_rows, enqueued,
		dequeued, released;
	struct rows vacated; /* projects whose parked builds may have room by the last store; one may be there often */
	struct outbox_names names;
	bool queued;        /* the last store queued a build */
	bool woke_dispatch; /* it did, or gave a slot back */
	bool rewritten;     /* set by who changes the stored trails afterwards, in the same transaction */
};

void build_set_init(struct build_set *set);
void build_set_release(struct build_set *set);
void build_set_begin(struct build_set *set);

/* An id may be given often. Lower-case UUID text. */
void build_set_want(struct build_set *set, const char *id);

/* The two statements that lock and read; their results are at indexes *ret_first and *ret_first + 1. Nothing is added
 * and *ret_first is -1 when no id is wanted. */
void build_set_pipeline_load(struct build_set *set, struct pg_pipeline *pipeline, int *ret_first);
/* The same without waiting. Only builds whose "id" is in the first result are locked; the others must not be changed.
 */
void build_set_pipeline_try_load(struct build_set *set, struct pg_pipeline *pipeline, int *ret_first);
/* Instead of loading: none of them has a row. For who makes sure of that. */
void build_set_assume_new(struct build_set *set);
/* Takes over the rows of the second statement's result. A row that makes no sense is a broken invariant: CHECK. */
void build_set_loaded(struct build_set *set, const PGresult *rows);

/* NULL when the id was not wanted. `exists` tells whether it has a row. */
struct build *build_set_find(struct build_set *set, const char *id);

/* Adds the statements that write what changed. Up to ten; parameters live in the set until its next build_set_begin.
 */
void build_set_pipeline_store(struct build_set *set, struct pg_pipeline *pipeline);
/* After the commit: what the last store wrote for the outbox goes to the relay, which reads it from the trails when they
 * were rewritten. */
void build_set_publish(const struct build_set *set, struct outbox_relay *relay);
/* The same, and the builds that ended are counted. */
void build_set_committed(const struct build_set *set, struct outbox_relay *relay);
