/*
 * The life of a build: ONE table of legal transitions and ONE function that applies them. Nothing else changes status,
 * phase or the attempt.
 *
 * Pure: it reads and changes only the struct build and the trail (no clock, no database, no Kafka), so that it is
 * tested over every state and event.
 */
#pragma once

#include "build-service/build.h"
#include "build-service/retries.h"
#include "build-service/trail.h"

/* Where a build is in its life, made from its columns. */
enum life {
	LIFE_NEW, /* not there yet */
	LIFE_QUEUED,
	LIFE_ASSIGNED, /* a worker was told, and has not answered */
	LIFE_RUNNING,
	LIFE_SETTLE_QUEUED, /* waits for an attempt that only finds out what became of a push */
	LIFE_SETTLE_ASSIGNED,
	LIFE_SETTLE_RUNNING,
	LIFE_ENDED,
	LIFE_COUNT
};

enum happening {
	HAPPENED_REQUEST, /* build.requested */
	HAPPENED_REFUSAL, /* build.requested that cannot be run */
	HAPPENED_ASSIGN,  /* dispatch found a worker */
	HAPPENED_ACCEPT,  /* attempt.accepted */
	HAPPENED_PHASE,   /* attempt.phase */
	HAPPENED_FINISH,  /* attempt.finished */
	HAPPENED_LOSS,    /* accept deadline, lease, restart */
	HAPPENED_CANCEL,  /* build.cancel_requested */
	HAPPENED_QUEUE_TIMEOUT,
	HAPPENED_SETTLE_TIMEOUT,
	HAPPENED_LATE_COMMIT, /* a lost attempt's push was found after the end */
	HAPPENED_LATE_PUSH,   /* a lost attempt had announced a push, which is applied before the end */
	HAPPENED_COUNT
};

enum outcome { OUTCOME_COMPLETED, OUTCOME_FAILED, OUTCOME_CANCELLED };

/* One thing that happened. Texts are the caller's or the arena's for the rest of the transaction. */
struct occurrence {
	enum happening what;
	struct fencing_token token; /* ACCEPT, PHASE, FINISH, LOSS: of the attempt that is meant */
	union {
		struct {
			const char *message;
		} refusal;
		struct {
			const char *lease_id;
			const char *worker_id;
			struct incarnation incarnation;
			int32_t epoch; /* of the deployment: attempt numbers jump by 1000 with each restore */
		} assign;
		struct {
			enum build_phase phase;
			const char *base_sha, *branch, *commit_sha; /* NULL = not said */
			const char *sandbox, *continued;            /* as above; with PHASE_AGENT */
		} phase;
		struct {
			enum outcome outcome;
			bool published, closed, retryable;
			const char *result;                      /* canonical JSON */
			const char *error_class, *error_message; /* of the result; NULL when completed */
		} finish;
		struct {
			enum loss_reason reason;
			bool mass; /* several attempts of that worker at once */
		} loss;
		struct {
			const char *commit_sha;
			int32_t lost_attempt;
		} late; /* LATE_COMMIT, LATE_PUSH */
	};
};

enum applied {
	APPLIED,         /* the build has changed */
	APPLIED_REPEAT,  /* it is so already */
	APPLIED_STALE,   /* of a token that is not the current one */
	APPLIED_ILLEGAL, /* cannot happen in this state; nothing was changed */
};

struct transition_context {
	struct trail *trail;
	const struct retry_policy *policy;
};

enum life build_life(const struct build *build);
enum applied transition_apply(const struct transition_context *context, struct build *build,
							  const struct occurrence *occurrence);

/* For tests and docs. */
const char *life_name(enum life life);
const char *happening_name(enum happening what);
