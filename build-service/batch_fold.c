#include <stdio.h>
#include <string.h>

#include "build-service/audit_rows.h"
#include "build-service/batch_private.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_build_service_sql.h"

static enum project_state project_state(const PGresult *projects, const char *id)
{
	int row = pg_find_row(projects, "id", id);
	if (row < 0)
		return PROJECT_UNKNOWN;
	return pg_bool(projects, row, "deleted") ? PROJECT_DELETED : PROJECT_THERE;
}

/* A build whose trail was published has been accepted: that its project is not in the backup, or has been deleted
 * since, takes nothing back. */
static enum project_state state_of_project(const struct batch *batch, const struct batch_found *found,
										   const struct request *request)
{
	if (batch->optimistic || pg_find_row(found->published, "build_id", request->build_id) >= 0)
		return PROJECT_THERE;
	return project_state(found->projects, request->project_id);
}

int batch_fold_requests(struct batch *batch, const struct batch_found *found, struct error *err)
{
	for (size_t i = 0; i < batch->requests_len; i++) {
		const struct request *request = &batch->requests[i];
		struct build *build = build_set_find(&batch->set, request->build_id);
		if (request->kind == REQUEST_CANCEL && !build->exists) {
			log_warn("cancel of an unknown build", "build_id", request->build_id, NULL);
			continue;
		}
		if (!build->exists && pg_find_row(found->pruned, "build_id", request->build_id) >= 0) {
			/* Its record came again, by its Idempotency-Key: it has been a build. */
			log_info("repeated request of a pruned build", "build_id", request->build_id, NULL);
			continue;
		}
		/* Its published trail comes with the commit, and the wish after that: alone it will be applied. */
		if (request->kind == REQUEST_CANCEL && build->is_new && batch->catches_up)
			return error_set(err, ERR_INVALID, "a cancel beside the build's request, after a restore");
		if (request->kind == REQUEST_CANCEL)
			audit_rows_add_cancel(&batch->audit, request);
		enum applied applied = request_apply(&batch->context, request, build, state_of_project(batch, found, request));
		if (applied != APPLIED)
			continue;
		if (request->kind == REQUEST_BUILD) {
			batch->accepted++;
			batch->rejected += build_ended(build);
		} else if (build_is_held(build) && build->attempt.mode == MODE_RUN) {
			struct command command = {.kind = COMMAND_CANCEL};
			build_assignee(build, &command.token, &command.to);
			command_list_add(&batch->commands, &command);
		}
	}
	return 0;
}

/* What this batch has found is not in the database yet. */
static bool is_found_already(const struct trail *trail, const struct build *build, const char *commit_sha)
{
	for (size_t i = 0; i < trail->len; i++) {
		const struct trail_row *row = &trail->rows[i];
		if (row->build == build && str_equal(row->type, "build.late_commit") &&
			memmem(trail_body(trail, row), row->body_len, commit_sha, strlen(commit_sha)) != NULL)
			return true;
	}
	return false;
}

/* A push of a lost attempt that the build's end does not know (docs/protocol.md section 7). Rare: it may cost a round
 * trip. */
static int apply_late(struct batch *batch, struct pg_conn *tx, const struct report *report, struct build *build,
					  struct error *err)
{
	if (is_found_already(&batch->set.trail, build, report->commit_sha))
		return 0;
	CLEANUP(pg_result_p) PGresult *found = NULL;
	if (pg_query(tx, &sql_is_late_commit, PG_PARAMS(build->id, report->commit_sha), 2, &found, err) < 0)
		return -1;
	if (PQntuples(found) == 0 || pg_bool(found, 0, "known"))
		return 0;
	log_error("a lost attempt's push was found after the build's end", "build_id", build->id, "attempt",
			  LOG_INT(report->occurrence.token.attempt), "commit_sha", report->commit_sha, NULL);
	batch->late++;
	const struct occurrence occurrence = {
		.what = HAPPENED_LATE_COMMIT,
		.late = {.commit_sha = report->commit_sha, .lost_attempt = report->occurrence.token.attempt},
	};
	(void)transition_apply(&batch->context, build, &occurrence); /* an ended build takes it */
	return 0;
}

/* A lost attempt may have pushed what it announced: the build must not end as if there were nothing (docs/protocol.md
 * section 7). As rare. */
static int apply_late_push(struct batch *batch, struct pg_conn *tx, const struct report *report, struct build *build,
						   struct error *err)
{
	const struct fencing_token *token = &report->occurrence.token;
	char attempt[16];
	(void)snprintf(attempt, sizeof(attempt), "%d", (int)token->attempt); /* fits */
	const char *commit_sha = report->occurrence.phase.commit_sha;
	CLEANUP(pg_result_p) PGresult *lost = NULL;
	if (pg_query(tx, &sql_note_late_push, PG_PARAMS(build->id, attempt, token->lease_id, commit_sha), 4, &lost, err) <
		0)
		return -1;
	if (PQntuples(lost) == 0)
		return 0;
	log_warn("a lost attempt had announced a push", "build_id", build->id, "attempt", LOG_INT(token->attempt),
			 "commit_sha", commit_sha, NULL);
	const struct occurrence occurrence = {
		.what = HAPPENED_LATE_PUSH,
		.late = {.commit_sha = commit_sha, .lost_attempt = token->attempt},
	};
	(void)transition_apply(&batch->context, build, &occurrence); /* the attempt's row has it in any case */
	return 0;
}

static int apply_report(struct batch *batch, struct pg_conn *tx, const struct report *report, struct error *err)
{
	struct build *build = build_set_find(&batch->set, report->occurrence.token.build_id);
	if (!build->exists) {
		if (report->text != NULL) {
			rows_text(&batch->early, build->id);
			rows_text(&batch->early, report->ce_id);
			rows_text(&batch->early, report->type);
			rows_text(&batch->early, report->text);
			batch->unknown++;
		}
		return 0;
	}
	enum applied applied = report_apply(&batch->context, report, build, &batch->commands);
	if (applied == APPLIED_STALE)
		batch->stale++;
	if (report_tells_late_push(report, applied, build))
		return apply_late_push(batch, tx, report, build, err);
	return report_may_be_late(report, applied, build) ? apply_late(batch, tx, report, build, err) : 0;
}

static int apply_early(struct batch *batch, struct pg_conn *tx, const PGresult *early, struct error *err)
{
	int rc = 0;
	for (int row = 0; rc == 0 && early != NULL && row < PQntuples(early); row++) {
		/* Only what this transaction has read may go with it. */
		rows_text(&batch->early_read, pg_text(early, row, "build_id"));
		rows_text(&batch->early_read, pg_text(early, row, "ce_id"));
		struct report report;
		struct error ignored = ERROR_INIT;
		const char *data = pg_text(early, row, "data");
		if (report_read(pg_text(early, row, "ce_id"), pg_text(early, row, "type"), data, strlen(data),
						batch->service->schemas, &batch->set.arena, &report, &ignored) < 0)
			continue; /* was legible when it came */
		report.text = NULL;
		rc = apply_report(batch, tx, &report, err);
		report_release(&report);
	}
	return rc;
}

int batch_fold(struct batch *batch, struct pg_conn *tx, const struct batch_found *found, struct error *err)
{
	if (batch_fold_requests(batch, found, err) < 0 || apply_early(batch, tx, found->early, err) < 0)
		return -1;
	for (size_t i = 0; i < batch->reports_len; i++) {
		if (apply_report(batch, tx, &batch->reports[i], err) < 0)
			return -1;
	}
	return 0;
}
