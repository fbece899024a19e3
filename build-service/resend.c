/* Assignments that are sent again: those that two heartbeats have lacked, and those that the producer had no room for
 * (docs/protocol.md section 4). */
#include <string.h>

#include "build-service/assignment.h"
#include "build-service/deadlines.h"
#include "build-service/dispatch.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/rows.h"
#include "kiln_build_service_sql.h"

/* What they ask for is read by so much, and the last of them may be larger. */
#define AT_ONCE_BYTES "8388608"

enum { ATTEMPTS, BUILDS }; /* statements */

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

/* -1: there is no room for it. */
static int send_again(struct service *service, const PGresult *attempts, int row, const PGresult *builds, int build,
					  struct buffer *body)
{
	char now[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), now);
	struct assignment assignment = {.assigned_at = now};
	struct error err = ERROR_INIT;
	read_assignment(attempts, row, &assignment);
	assignment_take_row(&assignment, builds, build);
	if (assignment_send_again(service, &assignment, body, &err) < 0)
		return err.kind == ERR_LIMIT || err.kind == ERR_UNAVAILABLE ? -1 : 0;
	log_info("assignment sent again", "build_id", assignment.token.build_id, "attempt",
			 LOG_INT(assignment.token.attempt), "worker_id", assignment.to.worker_id, NULL);
	return 0;
}

/* Up to the first that was not read any more, or for which there is no room (*ret_full). Returns how many are done. */
static size_t send_what_was_read(struct service *service, const struct fencing_token *tokens, size_t len,
								 PGresult *const *results, bool *ret_full)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, ASSIGNMENT_MAX_BYTES);
	for (size_t i = 0; i < len; i++) {
		int row = pg_find_row(results[ATTEMPTS], "lease_id", tokens[i].lease_id);
		int build = pg_find_row(results[BUILDS], "id", tokens[i].build_id);
		if (row < 0) {
			deadlines_drop(service->deadlines, tokens[i].lease_id); /* accepted or over */
			continue;
		}
		if (build < 0 && i > 0)
			return i;
		if (build >= 0 && send_again(service, results[ATTEMPTS], row, results[BUILDS], build, &body) < 0) {
			*ret_full = true;
			return i;
		}
	}
	return len;
}

static int send_some(struct service *service, struct pg_conn *conn, const struct fencing_token *tokens, size_t len,
					 size_t *ret_done, bool *ret_full, struct error *err)
{
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
	rows_pipeline(&builds, &pipeline, &sql_read_assignments, AT_ONCE_BYTES);
	int rc = pg_pipeline_run(&pipeline, results, err);
	if (rc == 0)
		*ret_done = send_what_was_read(service, tokens, len, results, ret_full);
	pg_results_clear(results);
	rows_release(&leases);
	rows_release(&builds);
	return rc;
}

int dispatch_resend(struct service *service, struct pg_conn *conn, const struct fencing_token *tokens, size_t len,
					bool *ret_full, struct error *err)
{
	bool full = false;
	for (size_t at = 0; at < len && !full;) {
		size_t done = 0;
		if (send_some(service, conn, tokens + at, len - at, &done, &full, err) < 0)
			return -1;
		at += done;
	}
	*ret_full = full;
	return 0;
}
