/* One Postgres snapshot of what explain() looks at. */
#pragma once

#include "api-gateway/builds/explain.h"
#include "api-gateway/requests/workers.h"
#include "common/base/arena.h"

struct explain_snapshot {
	struct explain_input input; /* filled when `waits`; texts live in the results */
	bool waits;                 /* it is in the queue */
	const char *status, *phase; /* NULL: ended */
	const char *project_id, *project_name;
	const char *worker_id;          /* of its attempt; NULL: none */
	int64_t concurrency_used;       /* places taken in its project, which counts them when it has a limit */
	int64_t queued_us, deadline_us; /* -1: none */
	int64_t durations;              /* builds that mean_ms is of */
	/* Memory: */
	struct arena arena;
	struct match_worker *all;
	size_t all_len;
	PGresult *results[PG_PIPELINE_MAX];
};

/* Worker. The build of request->param, which is a row. Nothing is locked and nothing written. -1: request->answer is
 * made. Release it either way. */
int explain_read(struct request *request, struct db *db, struct explain_snapshot *ret) MUST_CHECK;
void explain_release(struct explain_snapshot *snapshot);
