#include "build-service/timeouts.h"

#include <stdio.h>

#include "kiln_build_service_sql.h"

void timeouts_init(struct timeouts *timeouts, struct service *service, struct pg_conn *conn)
{
	*timeouts = (struct timeouts){.service = service, .conn = conn};
	build_set_init(&timeouts->set);
	timeouts->context = (struct transition_context){.trail = &timeouts->set.trail, .policy = &service->policy};
}

void timeouts_release(struct timeouts *timeouts)
{
	build_set_release(&timeouts->set);
}

static const char *limit_text(const struct timeouts *timeouts, char ret[24])
{
	(void)snprintf(ret, 24, "%lld", (long long)timeouts->service->policy.settle_limit_ms); /* fits */
	return ret;
}

/* Who was assigned since the first look, or queued anew, is not in the second one, which is taken under the locks. */
static void apply(struct timeouts *timeouts, const PGresult *expired)
{
	for (int row = 0; row < PQntuples(expired); row++) {
		struct build *build = build_set_find(&timeouts->set, pg_text(expired, row, "build_id"));
		if (build == NULL || !build->exists || trail_is_full(&timeouts->set.trail))
			continue; /* the next turn's */
		struct occurrence occurrence = {.what = build->settling ? HAPPENED_SETTLE_TIMEOUT : HAPPENED_QUEUE_TIMEOUT};
		(void)transition_apply(&timeouts->context, build, &occurrence); /* either way */
	}
}

static int load_and_apply(struct timeouts *timeouts, struct error *err)
{
	char limit_ms[24];
	const char *const params[] = {limit_text(timeouts, limit_ms)};
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int builds;
	pg_pipeline_init(&pipeline, timeouts->conn);
	build_set_pipeline_load(&timeouts->set, &pipeline, &builds);
	int again = (int)pipeline.len;
	pg_pipeline_add(&pipeline, &sql_find_timeouts, params, 1);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		build_set_loaded(&timeouts->set, results[builds + 1]);
		apply(timeouts, results[again]);
	}
	pg_results_clear(results);
	return rc;
}

static int store_and_commit(struct timeouts *timeouts, struct error *err)
{
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, timeouts->conn);
	build_set_pipeline_store(&timeouts->set, &pipeline);
	return pg_pipeline_commit(&pipeline, err);
}

static int expire(struct timeouts *timeouts, const PGresult *expired, struct error *err)
{
	build_set_begin(&timeouts->set);
	for (int row = 0; row < PQntuples(expired); row++)
		build_set_want(&timeouts->set, pg_text(expired, row, "build_id"));
	if (pg_begin(timeouts->conn, err) < 0 || load_and_apply(timeouts, err) < 0 || store_and_commit(timeouts, err) < 0)
		return -1;
	vacancies_add_set(&timeouts->service->vacancies, &timeouts->set);
	build_set_committed(&timeouts->set, timeouts->service->relay);
	return 0;
}

int timeouts_run(struct timeouts *timeouts, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *expired = NULL;
	char limit_ms[24];
	if (pg_query(timeouts->conn, &sql_find_timeouts, PG_PARAMS(limit_text(timeouts, limit_ms)), 1, &expired, err) < 0)
		return -1;
	if (PQntuples(expired) == 0)
		return 0;
	if (expire(timeouts, expired, err) < 0) {
		pg_rollback(timeouts->conn);
		return -1;
	}
	return 0;
}
