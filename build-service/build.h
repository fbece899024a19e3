/*
 * A build as a transaction sees it: the row of build_audit with its current attempt, and the words for their states.
 * Only transitions.c changes status, phase and attempt; only build_set.c reads and writes rows.
 *
 * Text fields of unbounded length live in the transaction's arena.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "build-service/addressee.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/model/fencing_token.h"

#define SHA_TEXT_SIZE 65 /* SHA-256 object names are 64 hex digits */
#define BRANCH_TEXT_SIZE 256
#define NAME_TEXT_SIZE 64
#define TIME_TEXT_SIZE 40 /* Postgres' text of a timestamptz */

enum build_status { STATUS_PENDING, STATUS_RUNNING, STATUS_COMPLETED, STATUS_FAILED, STATUS_CANCELLED };

/* In the order in which an attempt passes through them. */
enum build_phase {
	PHASE_NONE,
	PHASE_QUEUED,
	PHASE_ASSIGNED,
	PHASE_PREPARING,
	PHASE_AGENT,
	PHASE_COMMITTING,
	PHASE_PUSHING
};

enum attempt_state { ATTEMPT_NONE, ATTEMPT_ASSIGNED, ATTEMPT_ACCEPTED, ATTEMPT_FINISHED, ATTEMPT_LOST };

enum attempt_mode { MODE_RUN, MODE_SETTLE };

/* Why an attempt was lost. */
enum loss_reason { LOSS_ACCEPT_TIMEOUT, LOSS_LEASE_EXPIRED, LOSS_WORKER_RESTARTED, LOSS_NOT_HELD, LOSS_FAILED };

/* "pending", "queued", "assigned", "run", "accept_timeout" …; NULL for PHASE_NONE and ATTEMPT_NONE. */
const char *build_status_name(enum build_status status);
const char *build_phase_name(enum build_phase phase);
const char *attempt_state_name(enum attempt_state state);
const char *attempt_mode_name(enum attempt_mode mode);
const char *loss_reason_name(enum loss_reason reason);
/* -1 when the text is no such name (NULL: PHASE_NONE). */
int build_status_parse(const char *text, enum build_status *ret_status) MUST_CHECK;
int build_phase_parse(const char *text, enum build_phase *ret_phase) MUST_CHECK;
int attempt_state_parse(const char *text, enum attempt_state *ret_state) MUST_CHECK;
int attempt_mode_parse(const char *text, enum attempt_mode *ret_mode) MUST_CHECK;

struct attempt {
	int32_t number; /* 0: there was none yet */
	char lease_id[UUID_TEXT_SIZE];
	char worker_id[UUID_TEXT_SIZE];
	struct incarnation incarnation;
	enum attempt_mode mode;
	enum attempt_state state;
	enum build_phase phase;
	char commit_sha[SHA_TEXT_SIZE]; /* "" = none announced */
	const char *end_reason;         /* static; NULL = keep */
	bool is_new, changed;
};

/* The build's place in build_queue. */
struct queue_place {
	bool waiting;
	bool settling;
	int64_t not_before_ms; /* from now; 0 = at once */
};

struct build {
	char id[UUID_TEXT_SIZE];
	bool exists; /* in the database, or made by this transaction */
	bool is_new;
	bool changed;

	char project_id[UUID_TEXT_SIZE];
	char project_name[NAME_TEXT_SIZE];
	char owner[UUID_TEXT_SIZE];    /* "" = unknown */
	char retry_of[UUID_TEXT_SIZE]; /* "" = none */

	enum build_status status;
	enum build_phase phase;
	bool cancel_requested;
	struct attempt attempt; /* the current one */
	int32_t attempts_used, losses, mass_losses, max_attempts;

	const char *class_name;
	int32_t priority;
	int32_t queue_timeout_s;
	bool settling;
	const char *settle_end;        /* JSON {error, status}, canonical; NULL = none */
	int64_t settle_age_ms;         /* since settle_since, by the database's clock at load; 0 = new */
	char base_sha[SHA_TEXT_SIZE];  /* "" = unborn or unknown */
	char branch[BRANCH_TEXT_SIZE]; /* "" = not recorded yet */
	bool pushing_seen;

	const char *metadata;    /* canonical JSON */
	const char *traceparent; /* NULL = none */
	char created_at[TIME_TEXT_SIZE];

	/* Of a new build only. */
	const char *spec, *git;       /* JSON; NULL = not legible */
	const char *callback_url;     /* NULL = none */
	const char *request_hash_hex; /* NULL = none */
	const char *template;         /* "name@version"; NULL = none */
	bool continues;               /* has a continue_from, which read_assignments.sql looks up */
	const char *asked_branch;     /* NULL = the remote's HEAD */
	const char *origin;           /* JSON: where the POST came from; NULL = not from a gateway */

	/* Set by the end. */
	const char *result; /* canonical JSON; NULL = none yet */
	const char *error_class;
	bool started_now, queued_now, finished_now;

	int32_t last_sequence;
	uint8_t last_hash[SHA256_SIZE];
	int32_t new_events; /* of this transaction: the last ones */
	size_t new_bytes;   /* of their bodies */

	struct queue_place queue;
	bool was_waiting; /* has a row in build_queue */
	bool queue_changed;
	bool has_place;     /* in its project, which has a limit */
	bool slot_released; /* its place in the project, if it has one, is free */
	bool vacated;       /* others of its project may have room by what was stored of it last */
};

static inline bool build_ended(const struct build *build)
{
	return build->phase == PHASE_NONE;
}

/* The token of the current attempt (attempt 0 and an empty lease before the first). */
void build_token(const struct build *build, struct fencing_token *ret_token);
/* Whether a worker has the token now: assigned or accepted. */
bool build_is_held(const struct build *build);
