#include "build-service/batch.h"

#include <stdlib.h>
#include <string.h>

#include "build-service/audit_rows.h"
#include "build-service/batch_private.h"
#include "build-service/counters.h"
#include "build-service/deadlines.h"
#include "build-service/dispatch.h"
#include "build-service/releases.h"
#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

struct batch *batch_new(struct service *service, struct leases *leases)
{
	struct batch *batch = xcalloc(1, sizeof(*batch));
	batch->service = service;
	build_set_init(&batch->set);
	worker_set_init(&batch->workers);
	batch->decisions =
		(struct worker_decisions){.workers = &batch->workers, .leases = leases, .commands = &batch->commands};
	direct_init(&batch->direct, service, leases);
	refill_init(&batch->refill, service);
	batch->context = (struct transition_context){.trail = &batch->set.trail, .policy = &service->policy};
	rows_init_for(&batch->project_ids, &sql_read_projects, 1);
	rows_init(&batch->provisional, 1);
	rows_init_for(&batch->request_ids, &sql_read_early_results, 1);
	rows_init(&batch->keyed_ids, 1);
	rows_init(&batch->early, 4);
	rows_init(&batch->early_read, 2);
	rows_init(&batch->listed, 4);
	rows_init(&batch->audit, AUDIT_COLUMNS);
	return batch;
}

void batch_free(struct batch *batch)
{
	if (batch == NULL)
		return;
	CHECK(batch->pool == NULL);
	build_set_release(&batch->set);
	worker_set_release(&batch->workers);
	command_list_release(&batch->commands);
	worker_decisions_release(&batch->decisions);
	direct_release(&batch->direct);
	refill_release(&batch->refill);
	rows_release(&batch->project_ids);
	rows_release(&batch->provisional);
	rows_release(&batch->request_ids);
	rows_release(&batch->keyed_ids);
	rows_release(&batch->early);
	rows_release(&batch->early_read);
	rows_release(&batch->listed);
	rows_release(&batch->audit);
	free(batch);
}

static void begin(struct batch *batch)
{
	batch_release_records(batch);
	if (batch->pool != NULL)
		json_pool_empty(batch->pool);
	build_set_begin(&batch->set);
	worker_set_begin(&batch->workers);
	command_list_clear(&batch->commands);
	direct_begin(&batch->direct);
	refill_begin(&batch->refill);
	rows_clear(&batch->project_ids);
	rows_clear(&batch->provisional);
	rows_clear(&batch->request_ids);
	rows_clear(&batch->keyed_ids);
	rows_clear(&batch->early);
	rows_clear(&batch->early_read);
	rows_clear(&batch->listed);
	rows_clear(&batch->audit);
	batch->accepted = batch->rejected = batch->stale = batch->late = batch->unknown = 0;
	batch->workers_changed = batch->optimistic = false;
	batch->catches_up = atomic_load(&batch->service->epoch) < 0;
}

/* --- loading --- */

/* Workers are locked before builds, as everywhere (docs/protocol.md section 2). */
static int load_workers(struct batch *batch, struct pg_conn *tx, struct error *err)
{
	if (batch->events_len == 0)
		return 0;
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	int workers, listed;
	pg_pipeline_init(&pipeline, tx);
	worker_set_pipeline_load(&batch->workers, &pipeline, &workers);
	worker_events_pipeline_listed(batch->events, batch->events_len, &batch->listed, &pipeline, &listed);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0) {
		worker_set_loaded(&batch->workers, &batch->set.arena, results[workers + 1], results[workers + 2]);
		if (listed >= 0)
			worker_events_listed_loaded(batch->events, batch->events_len, results[listed]);
		for (size_t i = 0; i < batch->events_len; i++)
			worker_event_decide(&batch->decisions, &batch->events[i]);
		batch->workers_changed = true;
	}
	pg_results_clear(results);
	return rc;
}

struct load {
	struct pg_pipeline pipeline;
	int builds, projects, pruned, published, early;
};

static void plan_load(struct batch *batch, struct load *load)
{
	load->projects = load->pruned = load->published = load->early = -1;
	if (batch->project_ids.len > 0) {
		rows_pipeline(&batch->provisional, &load->pipeline, &sql_confirm_projects, NULL);
		load->projects = (int)load->pipeline.len;
		rows_pipeline(&batch->project_ids, &load->pipeline, &sql_read_projects, NULL);
	}
	build_set_pipeline_load(&batch->set, &load->pipeline, &load->builds);
	/* After the builds: one that is pruned between the two looks is found here, before them it would be in neither. */
	if (batch->keyed_ids.len > 0) {
		load->pruned = (int)load->pipeline.len;
		rows_pipeline(&batch->keyed_ids, &load->pipeline, &sql_read_pruned_builds, NULL);
	}
	if (batch->request_ids.len > 0 && batch->catches_up) {
		load->published = (int)load->pipeline.len;
		rows_pipeline(&batch->request_ids, &load->pipeline, &sql_read_published_builds, NULL);
	}
	if (batch->request_ids.len > 0) {
		load->early = (int)load->pipeline.len;
		rows_pipeline(&batch->request_ids, &load->pipeline, &sql_read_early_results, NULL);
		direct_plan(&batch->direct, &load->pipeline);
	}
}

static int load_and_apply(struct batch *batch, struct pg_conn *tx, struct error *err)
{
	struct load load;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&load.pipeline, tx);
	plan_load(batch, &load);
	if (load.pipeline.len == 0)
		return 0;
	int rc = pg_pipeline_run(&load.pipeline, results, err);
	if (rc == 0) {
		if (load.builds >= 0)
			build_set_loaded(&batch->set, results[load.builds + 1]);
		const struct batch_found found = {
			.projects = load.projects < 0 ? NULL : results[load.projects],
			.pruned = load.pruned < 0 ? NULL : results[load.pruned],
			.published = load.published < 0 ? NULL : results[load.published],
			.early = load.early < 0 ? NULL : results[load.early],
		};
		rc = batch_fold(batch, tx, &found, err);
		if (rc == 0)
			direct_assign(&batch->direct, results, found.projects, batch->events_len > 0, &batch->context, &batch->set);
	}
	pg_results_clear(results);
	return rc;
}

/* --- storing --- */

/* With COMMIT in the same round trip, unless slots that it frees are filled first; nothing to store: left to the
 * caller. */
static int store_and_commit(struct batch *batch, struct pg_conn *tx, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	if (!trail_is_whole(&batch->set.trail)) { /* the inbox takes half of the records then */
		(void)error_set(err, ERR_INVALID, "the events of the records are too large for one transaction"); /* -1 */
		direct_failed(&batch->direct, err);
		return -1;
	}
	pg_pipeline_init(&pipeline, tx);
	if (batch->optimistic)
		direct_pipeline_expect(&batch->direct, &pipeline, &batch->set, &batch->project_ids);
	worker_set_pipeline_store(&batch->workers, &pipeline);
	direct_pipeline_guard(&batch->direct, &pipeline);
	build_set_pipeline_store(&batch->set, &pipeline);
	if (batch->catches_up) {
		rows_pipeline(&batch->request_ids, &pipeline, &sql_roll_forward, NULL);
		batch->set.rewritten = true;
	}
	rows_pipeline(&batch->early, &pipeline, &sql_insert_early_results, NULL);
	rows_pipeline(&batch->audit, &pipeline, &sql_insert_audit, NULL);
	rows_pipeline(&batch->early_read, &pipeline, &sql_delete_early_results, NULL);
	if (pipeline.len == 0)
		return 0;
	bool refills = refill_plan(&batch->refill, &batch->set, tx, &pipeline);
	if (!refills)
		pg_pipeline_commit_tx(&pipeline);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0 && refills)
		rc = refill_commit(&batch->refill, results, err);
	pg_results_clear(results);
	if (rc < 0) {
		direct_failed(&batch->direct, err);
		refill_failed(&batch->refill, err);
		dispatch_after_failure(batch->service, err);
	}
	return rc;
}

/* --- in one round trip --- */

bool batch_may_be_optimistic(const struct batch *batch, const struct inbox_record *const *records, size_t count)
{
	size_t builds = 0;
	for (size_t i = 0; i < count; i++) {
		const char *type = records[i]->event.type;
		if (strcmp(type, "read.barrier") == 0)
			continue;
		if (strcmp(records[i]->topic, TOPIC_BUILD_REQUESTS) != 0 || strcmp(type, "build.requested") != 0)
			return false;
		builds++;
	}
	return direct_has_room(&batch->direct, builds);
}

/* Nothing but new builds that direct.c knows enough about? */
static bool may_be_optimistic(struct batch *batch)
{
	size_t count = batch->requests_len;
	/* A build with a key may have been there and be pruned, which only the way of several round trips looks at. */
	if (count == 0 || batch->reports_len > 0 || batch->events_len > 0 || batch->provisional.len > 0 ||
		batch->keyed_ids.len > 0)
		return false;
	const char **projects = arena_alloc(&batch->set.arena, (count + 1) * sizeof(*projects));
	for (size_t i = 0; i < count; i++) {
		const struct request *request = &batch->requests[i];
		if (request->kind != REQUEST_BUILD || request->refusal != NULL || request_continues(request))
			return false;
		projects[i] = request->project_id;
	}
	return direct_may_guess(&batch->direct, projects, count);
}

static int apply_optimistically(struct batch *batch, struct pg_conn *tx, struct error *err)
{
	batch->optimistic = true;
	build_set_assume_new(&batch->set);
	if (batch_fold_requests(batch, &(struct batch_found){.projects = NULL}, err) < 0)
		return -1;
	direct_guess(&batch->direct, &batch->context, &batch->set);
	return store_and_commit(batch, tx, err);
}

int batch_apply(struct batch *batch, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				struct error *err)
{
	begin(batch);
	if (batch_read_records(batch, records, count, err) < 0)
		return -1;
	if (may_be_optimistic(batch))
		return apply_optimistically(batch, tx, err);
	if (load_workers(batch, tx, err) < 0 || load_and_apply(batch, tx, err) < 0)
		return -1;
	return store_and_commit(batch, tx, err);
}

static void count(const struct batch *batch)
{
	metric_add(&counter_accepted, (int64_t)batch->accepted);
	metric_add(&counter_rejected, (int64_t)batch->rejected);
	metric_add(&counter_stale_results, (int64_t)batch->stale);
	metric_add(&counter_late_commits, (int64_t)batch->late);
	metric_add(&counter_early_results, (int64_t)batch->unknown);
	metric_add(&counter_optimistic, batch->optimistic);
}

void batch_committed(struct batch *batch)
{
	releases_take(batch->service->releases, &batch->commands); /* they follow the assignments */
	direct_committed(&batch->direct, &batch->set);
	bool refilled = refill_committed(&batch->refill);
	atomic_fetch_add(&batch->service->batches, 1);
	bool brought_back = batch->set.vacated.len == 0 || refill_has_unparked(&batch->refill);
	if (!brought_back)
		vacancies_add_set(&batch->service->vacancies, &batch->set);
	if (batch->set.queued)
		atomic_store(&batch->service->waiting, true); /* until the dispatcher has looked */
	/* Who has been queued just now is in no look that was made without the match's lock. */
	bool seen = refilled && brought_back && !batch->set.queued;
	if ((batch->set.woke_dispatch || batch->workers_changed) && !seen)
		wakeup_signal(&batch->service->dispatch);
	build_set_committed(&batch->set, batch->service->relay);
	commands_send(batch->service->commands, &batch->commands);
	for (size_t i = 0; i < batch->reports_len; i++) {
		/* Whatever a worker says of a lease, it has got it. */
		deadlines_drop(batch->service->deadlines, batch->reports[i].occurrence.token.lease_id);
	}
	count(batch);
	batch_release_records(batch);
}

int batch_apply_early(struct batch *batch, struct pg_conn *conn, struct error *err)
{
	begin(batch);
	CLEANUP(pg_result_p) PGresult *found = NULL;
	if (pg_query(conn, &sql_find_early_results, NULL, 0, &found, err) < 0)
		return -1;
	if (PQntuples(found) == 0)
		return 0;
	for (int row = 0; row < PQntuples(found); row++) {
		build_set_want(&batch->set, pg_text(found, row, "build_id"));
		rows_text(&batch->request_ids, pg_text(found, row, "build_id"));
	}
	if (pg_begin(conn, err) < 0 || load_and_apply(batch, conn, err) < 0 || store_and_commit(batch, conn, err) < 0 ||
		(pg_in_transaction(conn) && pg_commit(conn, err) < 0)) {
		pg_rollback(conn);
		return -1;
	}
	batch_committed(batch);
	return 0;
}

int batch_look(struct batch *batch, struct pg_conn *conn, struct error *err)
{
	return direct_look(&batch->direct, conn, err);
}

const struct fencing_token *batch_resend(const struct batch *batch, size_t *ret_len)
{
	*ret_len = batch->decisions.resend_len;
	return batch->decisions.resend;
}

void batch_resent(struct batch *batch)
{
	batch->decisions.resend_len = 0;
}
