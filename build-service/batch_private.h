/* Shared by the files of the fold only: batch.c (loading, storing, what a commit causes), batch_records.c and
 * batch_fold.c. */
#pragma once

#include "build-service/batch.h"
#include "build-service/direct.h"
#include "build-service/refill.h"
#include "common/json/json_pool.h"

struct batch {
	struct service *service;
	struct build_set set;
	struct worker_set workers;
	struct command_list commands;
	struct worker_decisions decisions;
	struct transition_context context;
	struct direct direct;
	struct refill refill;

	struct json_pool *pool; /* of the thread that applies; made with its first batch */
	/* In the set's arena, with room for every record. Their trees are the pool's. */
	struct request *requests;
	struct report *reports;
	struct worker_event *events;
	size_t requests_len, reports_len, events_len;

	struct rows project_ids, provisional, request_ids, keyed_ids, early, early_read, listed, audit;

	/* What a commit makes true. */
	size_t accepted, rejected, stale, late, unknown;
	bool workers_changed;
	bool optimistic; /* decided by the last look */
};

/* The records of the transaction, parsed, by kind; what they touch is wanted from the set, the workers and the rows of
 * ids. -1 ERR_INVALID: one is poison. */
int batch_read_records(struct batch *batch, const struct inbox_record *const *records, size_t count,
					   struct error *err) MUST_CHECK;
/* The parsed records: the only thing that the arena does not hold. */
void batch_release_records(struct batch *batch);

/* Perhaps a restore is being caught up with: requests make builds again whose trails were published (docs/protocol.md
 * section 9). */
static inline bool batch_catches_up(const struct batch *batch)
{
	return atomic_load(&batch->service->epoch) < 0;
}

/* Applies requests to the loaded builds. `projects`, `pruned`: rows of read_projects.sql and read_pruned_builds.sql;
 * NULL: none. -1 ERR_INVALID: not in one transaction. */
int batch_fold_requests(struct batch *batch, const PGresult *projects, const PGresult *pruned,
						struct error *err) MUST_CHECK;
/* All records; early: results that waited (read_early_results.sql). */
int batch_fold(struct batch *batch, struct pg_conn *tx, const PGresult *projects, const PGresult *pruned,
			   const PGresult *early, struct error *err) MUST_CHECK;
