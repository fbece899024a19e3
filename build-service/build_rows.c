#include "build-service/build_rows.h"

#include <string.h>

#include "common/base/str.h"

/* clang-format off */
/* read_builds.sql, in order. */
enum column {
	COL_ID, COL_PROJECT_ID, COL_PROJECT_NAME, COL_STATUS, COL_PHASE, COL_CANCEL_REQUESTED, COL_ATTEMPTS_USED, COL_LOSSES, COL_MASS_LOSSES,
	COL_MAX_ATTEMPTS, COL_CLASS, COL_PRIORITY, COL_QUEUE_TIMEOUT, COL_SETTLING, COL_SETTLE_END, COL_SETTLE_AGE, COL_BASE_SHA, COL_BRANCH,
	COL_PUSHING_SEEN, COL_METADATA, COL_TRACEPARENT, COL_CREATED_AT, COL_LAST_SEQUENCE, COL_LAST_HASH, COL_ATTEMPT, COL_LEASE_ID,
	COL_WORKER_ID, COL_INCARNATION, COL_NONCE, COL_MODE, COL_STATE, COL_ATTEMPT_PHASE, COL_COMMIT_SHA, COL_HAS_PLACE,
	COL_COUNT
};

static const char *const column_names[COL_COUNT] = {
	"id", "project_id", "project_name", "status", "phase", "cancel_requested", "attempts_used", "losses", "mass_losses",
	"max_attempts", "class", "priority", "queue_timeout_s", "settling", "settle_end", "settle_age_ms", "base_sha", "branch",
	"pushing_seen", "metadata", "traceparent", "created_at", "last_sequence", "last_hash", "attempt", "lease_id",
	"worker_id", "incarnation", "nonce", "mode", "state", "attempt_phase", "commit_sha", "has_place",
};
/* clang-format on */

void build_rows_check(const PGresult *rows)
{
	CHECK(PQnfields(rows) == COL_COUNT);
	for (int i = 0; i < COL_COUNT; i++)
		CHECK(strcmp(PQfname(rows, i), column_names[i]) == 0);
}

const char *build_rows_id(const PGresult *rows, int row)
{
	return PQgetvalue(rows, row, COL_ID);
}

static const char *text(const PGresult *rows, int row, enum column column)
{
	return PQgetisnull(rows, row, (int)column) ? NULL : PQgetvalue(rows, row, (int)column);
}

static int64_t integer(const PGresult *rows, int row, enum column column)
{
	return strtoll(PQgetvalue(rows, row, (int)column), NULL, 10); /* Postgres wrote it; "" (NULL) is 0 */
}

static bool boolean(const PGresult *rows, int row, enum column column)
{
	return PQgetvalue(rows, row, (int)column)[0] == 't';
}

/* NULL becomes "". */
static void field(const PGresult *rows, int row, enum column column, char *ret_field, size_t size)
{
	size_t len = (size_t)PQgetlength(rows, row, (int)column);
	CHECK(len < size);
	memcpy(ret_field, PQgetvalue(rows, row, (int)column), len);
	ret_field[len] = '\0';
}

static void read_attempt(const PGresult *rows, int row, struct attempt *attempt)
{
	attempt->number = (int32_t)integer(rows, row, COL_ATTEMPT);
	if (attempt->number == 0)
		return;
	field(rows, row, COL_LEASE_ID, attempt->lease_id, sizeof(attempt->lease_id));
	field(rows, row, COL_WORKER_ID, attempt->worker_id, sizeof(attempt->worker_id));
	attempt->incarnation.counter = integer(rows, row, COL_INCARNATION);
	field(rows, row, COL_NONCE, attempt->incarnation.nonce, sizeof(attempt->incarnation.nonce));
	CHECK(attempt_mode_parse(text(rows, row, COL_MODE), &attempt->mode) == 0);
	CHECK(attempt_state_parse(text(rows, row, COL_STATE), &attempt->state) == 0);
	CHECK(build_phase_parse(text(rows, row, COL_ATTEMPT_PHASE), &attempt->phase) == 0);
	field(rows, row, COL_COMMIT_SHA, attempt->commit_sha, sizeof(attempt->commit_sha));
}

void build_rows_read(const PGresult *rows, int row, struct arena *arena, struct build *build)
{
	build->exists = true;
	field(rows, row, COL_PROJECT_ID, build->project_id, sizeof(build->project_id));
	field(rows, row, COL_PROJECT_NAME, build->project_name, sizeof(build->project_name));
	CHECK(build_status_parse(text(rows, row, COL_STATUS), &build->status) == 0);
	CHECK(build_phase_parse(text(rows, row, COL_PHASE), &build->phase) == 0);
	build->cancel_requested = boolean(rows, row, COL_CANCEL_REQUESTED);
	build->attempts_used = (int32_t)integer(rows, row, COL_ATTEMPTS_USED);
	build->losses = (int32_t)integer(rows, row, COL_LOSSES);
	build->mass_losses = (int32_t)integer(rows, row, COL_MASS_LOSSES);
	build->max_attempts = (int32_t)integer(rows, row, COL_MAX_ATTEMPTS);
	build->class_name = arena_strdup(arena, text(rows, row, COL_CLASS));
	build->priority = (int32_t)integer(rows, row, COL_PRIORITY);
	build->queue_timeout_s = (int32_t)integer(rows, row, COL_QUEUE_TIMEOUT);
	build->settling = boolean(rows, row, COL_SETTLING);
	build->settle_end = arena_strdup(arena, text(rows, row, COL_SETTLE_END));
	build->settle_age_ms = integer(rows, row, COL_SETTLE_AGE);
	field(rows, row, COL_BASE_SHA, build->base_sha, sizeof(build->base_sha));
	field(rows, row, COL_BRANCH, build->branch, sizeof(build->branch));
	build->pushing_seen = boolean(rows, row, COL_PUSHING_SEEN);
	build->metadata = arena_strdup(arena, text(rows, row, COL_METADATA));
	build->traceparent = arena_strdup(arena, text(rows, row, COL_TRACEPARENT));
	field(rows, row, COL_CREATED_AT, build->created_at, sizeof(build->created_at));
	build->last_sequence = (int32_t)integer(rows, row, COL_LAST_SEQUENCE);
	const char *hash = text(rows, row, COL_LAST_HASH);
	CHECK(hash != NULL && hex_decode(hash, strlen(hash), build->last_hash, sizeof(build->last_hash)) == 0);
	read_attempt(rows, row, &build->attempt);
	build->has_place = boolean(rows, row, COL_HAS_PLACE);
	build->was_waiting = build->phase == PHASE_QUEUED;
	build->queue = (struct queue_place){.waiting = build->was_waiting, .settling = build->settling};
}

/* --- out --- */

void build_rows_add_insert(struct rows *rows, const struct build *build, const char *time)
{
	rows_text(rows, build->id);
	rows_text(rows, build->project_id);
	rows_text(rows, build->project_name);
	rows_text_or_null(rows, build->owner);
	rows_text(rows, build_status_name(build->status));
	rows_text(rows, build_phase_name(build->phase));
	rows_bool(rows, build->cancel_requested);
	rows_int(rows, build->max_attempts);
	rows_text(rows, build->class_name);
	rows_int(rows, build->priority);
	rows_int(rows, build->queue_timeout_s);
	rows_text(rows, build->callback_url);
	uint8_t hash[SHA256_SIZE];
	if (build->request_hash_hex != NULL &&
		hex_decode(build->request_hash_hex, strlen(build->request_hash_hex), hash, sizeof(hash)) == 0)
		rows_bytes(rows, hash, sizeof(hash));
	else
		rows_text(rows, NULL);
	rows_text(rows, build->metadata);
	rows_text_or_null(rows, build->retry_of);
	rows_text(rows, build->traceparent);
	rows_text(rows, build->result);
	rows_text(rows, build->error_class);
	rows_int(rows, build->last_sequence);
	rows_bytes(rows, build->last_hash, sizeof(build->last_hash));
	rows_text(rows, build->created_at);
	rows_text(rows, build->queued_now ? time : NULL);
	rows_text(rows, build->finished_now ? time : NULL);
	rows_int(rows, build->attempt.number);
	rows_text_or_null(rows, build->attempt.lease_id);
	rows_text_or_null(rows, build->attempt.worker_id);
	rows_text(rows, build->template);
	rows_text(rows, build->asked_branch);
}

void build_rows_add_request(struct rows *rows, const struct build *build)
{
	rows_text(rows, build->id);
	rows_text(rows, build->spec);
	rows_text(rows, build->git);
	rows_text(rows, build->origin);
}

void build_rows_add_update(struct rows *rows, const struct build *build, const char *time)
{
	const struct attempt *attempt = &build->attempt;
	rows_text(rows, build->id);
	rows_text(rows, build_status_name(build->status));
	rows_text(rows, build_phase_name(build->phase));
	rows_bool(rows, build->cancel_requested);
	rows_int(rows, attempt->number);
	rows_text(rows, build_is_held(build) ? attempt->lease_id : NULL);
	/* Whoever has it, or had it last when it has ended; nobody while it waits. */
	rows_text_or_null(rows, build->phase == PHASE_QUEUED ? "" : attempt->worker_id);
	rows_int(rows, build->attempts_used);
	rows_int(rows, build->losses);
	rows_int(rows, build->mass_losses);
	rows_bool(rows, build->settling);
	rows_text(rows, build->settle_end);
	rows_text_or_null(rows, build->base_sha);
	rows_text_or_null(rows, build->branch);
	rows_bool(rows, build->pushing_seen);
	rows_text(rows, build->result);
	rows_text(rows, build->error_class);
	rows_int(rows, build->last_sequence);
	rows_bytes(rows, build->last_hash, sizeof(build->last_hash));
	rows_text(rows, build->queued_now ? time : NULL);
	rows_text(rows, build->started_now ? time : NULL);
	rows_text(rows, build->finished_now ? time : NULL);
}

void build_rows_add_attempt(struct rows *rows, const struct build *build)
{
	const struct attempt *attempt = &build->attempt;
	rows_text(rows, build->id);
	rows_int(rows, attempt->number);
	rows_text(rows, attempt->lease_id);
	rows_text(rows, attempt->worker_id);
	rows_int(rows, attempt->incarnation.counter);
	rows_text(rows, attempt->incarnation.nonce);
	rows_text(rows, attempt_mode_name(attempt->mode));
}

void build_rows_add_attempt_change(struct rows *rows, const struct build *build)
{
	const struct attempt *attempt = &build->attempt;
	rows_text(rows, build->id);
	rows_int(rows, attempt->number);
	rows_text(rows, attempt_state_name(attempt->state));
	rows_bool(rows, build_is_held(build));
	rows_text(rows, build_phase_name(attempt->phase));
	rows_text_or_null(rows, attempt->commit_sha);
	rows_text(rows, attempt->end_reason);
}

void build_rows_add_queued(struct rows *rows, const struct build *build)
{
	rows_text(rows, build->id);
	rows_text(rows, build->project_id);
	rows_text(rows, build->class_name);
	rows_bool(rows, build->queue.settling);
	rows_text(rows, build->created_at);
	rows_int(rows, build->priority);
	rows_int(rows, build->queue.not_before_ms);
	rows_int(rows, build->queue_timeout_s);
	rows_bool(rows, !build->is_new);
	rows_text(rows, build->asked_branch); /* known of a new build only, as the template is */
	rows_text(rows, build->template);
}
