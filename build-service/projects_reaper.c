#include "build-service/projects_reaper.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/project_event.h"
#include "kiln_build_service_sql.h"

#define EVERY_MS 10000
/* A round has 100 projects; each is a few hundred bytes and what its agent and network have. */
#define EVENTS_MAX_BYTES ((size_t)64 * 1024 * 1024)

void projects_reaper_init(struct projects_reaper *reaper, struct service *service)
{
	*reaper = (struct projects_reaper){.service = service};
	barrier_init(&reaper->barrier, &service->ends);
	rows_init(&reaper->projects, 2);
}

void projects_reaper_release(struct projects_reaper *reaper)
{
	rows_release(&reaper->projects);
}

static int begin_round(struct projects_reaper *reaper, struct pg_conn *conn, struct error *err)
{
	char age_s[24];
	(void)snprintf(age_s, sizeof(age_s), "%lld", (long long)reaper->service->config->provisional_s);
	CLEANUP(pg_result_p) PGresult *old = NULL;
	if (pg_query(conn, &sql_find_provisional_projects, PG_PARAMS(age_s), 1, &old, err) < 0)
		return -1;
	if (PQntuples(old) == 0)
		return 0;
	reaper->waits = (struct partitions){{0}};
	partitions_add_all(&reaper->waits, BARRIER_REQUESTS); /* any later build makes it permanent as well */
	barrier_clear(&reaper->barrier);
	barrier_want(&reaper->barrier, &reaper->waits);
	if (barrier_set(&reaper->barrier, conn, err) < 0)
		return -1;
	for (int row = 0; row < PQntuples(old); row++) {
		rows_text(&reaper->projects, pg_text(old, row, "id"));
		rows_text(&reaper->projects, pg_text(old, row, "provisional_build"));
	}
	return 0;
}

/* The end of each, which kiln.project.events has shown the beginning of. */
static int announce(const struct projects_reaper *reaper, struct pg_conn *tx, const PGresult *gone, struct error *err)
{
	const struct project_teller teller = {.source = SERVICE_SOURCE,
										  .git_base_url = reaper->service->config->git_base_url};
	struct outbox_rows events;
	outbox_rows_init(&events, EVENTS_MAX_BYTES);
	for (int row = 0; row < PQntuples(gone); row++) {
		if (!pg_bool(gone, row, "deleted"))
			project_event_add(&events, &teller, "project.deleted", gone, row);
	}
	int rc = outbox_rows_insert(&events, tx, err);
	outbox_rows_release(&events);
	return rc;
}

static int delete_in_tx(struct projects_reaper *reaper, struct pg_conn *tx, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, tx);
	rows_pipeline(&reaper->projects, &pipeline, &sql_delete_provisional_projects, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		rc = announce(reaper, tx, results[0], err);
	if (rc == 0)
		rc = pg_commit(tx, err);
	for (int row = 0; rc == 0 && row < PQntuples(results[0]); row++)
		log_info("provisional project removed", "project", pg_text(results[0], row, "name"), NULL);
	pg_results_clear(results);
	return rc;
}

static int delete_round(struct projects_reaper *reaper, struct pg_conn *conn, struct error *err)
{
	if (pg_begin(conn, err) < 0)
		return -1;
	if (delete_in_tx(reaper, conn, err) < 0) {
		pg_rollback(conn);
		return -1;
	}
	outbox_relay_wake(reaper->service->relay);
	return 0;
}

int projects_reaper_tick(struct projects_reaper *reaper, struct pg_conn *conn, struct error *err)
{
	int64_t now_ms = clock_boot_ms();
	if (reaper->projects.len == 0) {
		if (now_ms < reaper->next_ms)
			return 0;
		reaper->next_ms = now_ms + EVERY_MS;
		return begin_round(reaper, conn, err);
	}
	if (barrier_look(&reaper->barrier, conn, err) < 0)
		return -1;
	if (barrier_passed(&reaper->barrier, &reaper->waits) && delete_round(reaper, conn, err) < 0)
		return -1;
	if (barrier_is_over(&reaper->barrier))
		rows_clear(&reaper->projects); /* those that are left are found again */
	return 0;
}
