/* Assignments that two heartbeats have lacked (docs/protocol.md section 4). */
#include <string.h>

#include "build-service/assignment.h"
#include "build-service/dispatch.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/pg/rows.h"
#include "kiln_build_service_sql.h"

static void read_assignment(const PGresult *rows, int row, struct assignment *ret)
{
	memcpy(ret->to.worker_id, pg_text(rows, row, "worker_id"), UUID_TEXT_SIZE);
	ret->to.incarnation.counter = pg_int(rows, row, "incarnation", 0);
	memcpy(ret->to.incarnation.nonce, pg_text(rows, row, "nonce"), UUID_TEXT_SIZE);
	memcpy(ret->token.build_id, pg_text(rows, row, "build_id"), UUID_TEXT_SIZE);
	ret->token.attempt = (int32_t)pg_int(rows, row, "attempt", 0);
	memcpy(ret->token.lease_id, pg_text(rows, row, "lease_id"), UUID_TEXT_SIZE);
	CHECK(attempt_mode_parse(pg_text(rows, row, "mode"), &ret->mode) == 0);
}

static void send_again(struct service *service, const PGresult *attempts, int row, const PGresult *builds)
{
	char now[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), now);
	struct assignment assignment = {.assigned_at = now};
	read_assignment(attempts, row, &assignment);
	for (int i = 0; i < PQntuples(builds); i++) {
		if (!str_equal(pg_text(builds, i, "id"), assignment.token.build_id))
			continue;
		CLEANUP(buffer_release_p) struct buffer body;
		buffer_init(&body, ASSIGNMENT_MAX_BYTES);
		struct error err = ERROR_INIT;
		assignment_take_row(&assignment, builds, i);
		if (assignment_write(&body, &assignment) == 0 &&
			commands_send_assign(service->commands, assignment.to.worker_id, body.data, body.len,
								 assignment.traceparent, NULL, NULL, &err) == 0)
			log_info("assignment sent again", "build_id", assignment.token.build_id, "attempt",
					 LOG_INT(assignment.token.attempt), "worker_id", assignment.to.worker_id, NULL);
		return;
	}
}

int dispatch_resend(struct service *service, struct pg_conn *conn, const struct fencing_token *tokens, size_t len,
					struct error *err)
{
	if (len == 0)
		return 0;
	struct rows leases, builds;
	rows_init(&leases, 3);
	rows_init(&builds, 1);
	for (size_t i = 0; i < len; i++) {
		rows_text(&leases, tokens[i].build_id);
		rows_int(&leases, tokens[i].attempt);
		rows_text(&leases, tokens[i].lease_id);
		rows_text(&builds, tokens[i].build_id);
	}
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	rows_pipeline(&leases, &pipeline, &sql_read_assigned_attempts, NULL);
	rows_pipeline(&builds, &pipeline, &sql_read_assignments, NULL);
	int rc = pg_pipeline_run(&pipeline, results, err);
	for (int row = 0; rc == 0 && row < PQntuples(results[0]); row++)
		send_again(service, results[0], row, results[1]);
	pg_results_clear(results);
	rows_release(&leases);
	rows_release(&builds);
	return rc;
}
