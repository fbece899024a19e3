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
	/* Perhaps a restore is being caught up with: requests make builds again whose trails were published
	 * (docs/protocol.md section 9). Looked at when it begins: the last batch's commit may end it for the dispatcher
	 * before what follows that commit is done. */
	bool catches_up;
};

/* The records of the transaction, parsed, by kind; what they touch is wanted from the set, the workers and the rows of
 * ids. -1 ERR_INVALID: one is poison. */
int batch_read_records(struct batch *batch, const struct inbox_record *const *records, size_t count,
					   struct error *err) MUST_CHECK;
/* The parsed records: the only thing that the arena does not hold. */
void batch_release_records(struct batch *batch);

/* What was looked up besides builds and workers: rows of read_projects.sql, read_pruned_builds.sql,
 * read_published_builds.sql and read_early_results.sql; NULL: none. */
struct batch_found {
	const PGresult *projects, *pruned, *published, *early;
};

/* Applies requests to the loaded builds. -1 ERR_INVALID: not in one transaction. */
int batch_fold_requests(struct batch *batch, const struct batch_found *found, struct error *err) MUST_CHECK;
/* All records, and results that waited. */
int batch_fold(struct batch *batch, struct pg_conn *tx, const struct batch_found *found, struct error *err) MUST_CHECK;
