/*
 * kiln.worker.events: what workers say of themselves (docs/protocol.md section 5). The leases of what a new incarnation
 * does not list are over (expiry.c frees it); a heartbeat renews what it lists; what either lists without holding it is
 * answered with `abandon`, what waits for `released` gets it again, a cancel wish and a drain wish are repeated. The
 * wish to drain comes from the gateway by the same topic: it is applied by whoever minds the worker, in order with what
 * the worker says.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/leases.h"
#include "build-service/workers.h"
#include "common/json/json.h"
#include "common/pg/inbox.h"

enum worker_event_kind {
	WORKER_EVENT_OTHER,
	WORKER_HELLO,
	WORKER_HEARTBEAT,
	WORKER_DRAINING_NOW,
	WORKER_BYE,
	WORKER_DRAIN_REQUESTED, /* of the incarnation that the gateway saw */
};

/* A token that the worker lists, and what the database says of it. */
struct listed_token {
	struct fencing_token token;
	bool reported; /* otherwise held */
	bool told;     /* reported, and Kafka has all that was sent of the result */
	bool fits;     /* the attempt exists with this lease and was given to this worker */
	enum attempt_state state;
	bool wants_cancel; /* a running attempt of a build with a cancel wish */
	bool ended;        /* the build has */
};

struct worker_event {
	enum worker_event_kind kind;
	cJSON *data; /* owned */
	struct addressee from;
	struct worker_facts facts;
	bool draining;
	struct listed_token *listed; /* in the arena */
	size_t listed_len;
};

/* ERR_INVALID (poison) when it is not legible. */
int worker_event_read(const struct inbox_record *record, struct arena *arena, struct worker_event *ret_event,
					  struct error *err) MUST_CHECK;
void worker_event_release(struct worker_event *event);

/* The tokens of all events as parameters of read_listed_attempts.sql, and its result back into them. */
void worker_events_pipeline_listed(struct worker_event *events, size_t len, struct rows *tokens,
								   struct pg_pipeline *pipeline, int *ret_index);
void worker_events_listed_loaded(struct worker_event *events, size_t len, const PGresult *rows);

/* What events decide, for a transaction. */
struct worker_decisions {
	struct worker_set *workers;
	struct leases *leases;
	struct command_list *commands;
	struct fencing_token *resend; /* assignments that heartbeats lack, of all transactions until they were sent */
	size_t resend_len, resend_size;
};
void worker_decisions_release(struct worker_decisions *decisions);

/* In order of the records; the worker's row is loaded. */
void worker_event_decide(struct worker_decisions *decisions, const struct worker_event *event);
