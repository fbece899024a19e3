/* Workers as a transaction sees them: rows of `workers`, and the attempts that the database says they hold. */
#pragma once

#include "build-service/build.h"
#include "build-service/commands.h"
#include "common/base/arena.h"
#include "common/pg/rows.h"

enum worker_state { WORKER_UNKNOWN, WORKER_ACTIVE, WORKER_DRAINING, WORKER_LOST, WORKER_GONE };

const char *worker_state_name(enum worker_state state); /* NULL for WORKER_UNKNOWN */

/* An attempt that takes a slot. */
struct held_attempt {
	struct fencing_token token;
	struct incarnation incarnation; /* that it was given to */
	bool accepted;
};

/* What a hello or heartbeat says of the worker; texts live in the message or the arena. */
struct worker_facts {
	int64_t slots;
	const char *labels, *agents; /* Postgres array literals */
	const char *hostname, *version, *sandbox;
	int64_t read_offset;
};

struct worker {
	char id[UUID_TEXT_SIZE];
	int32_t partition; /* of kiln.worker.events */
	enum worker_state state;
	struct incarnation incarnation;
	struct held_attempt *held; /* in the arena */
	size_t held_len;
	bool drain_requested;      /* of this incarnation: it ends with its last attempt */
	bool changed;              /* its state, or that wish */
	bool heard;                /* a hello or heartbeat: everything is written */
	struct worker_facts facts; /* when heard */
};

struct worker_set {
	struct worker *workers; /* sorted by id */
	size_t len, size;
	struct rows ids;
	struct rows upserts, changes;
};

void worker_set_init(struct worker_set *set);
void worker_set_release(struct worker_set *set);
void worker_set_begin(struct worker_set *set);
/* An id may be given often. */
void worker_set_want(struct worker_set *set, const char *id);
/* Three statements: lock the rows in the order of the ids, read them, read what they hold. *ret_first: the first one's
 * index, -1 without workers. */
void worker_set_pipeline_load(struct worker_set *set, struct pg_pipeline *pipeline, int *ret_first);
void worker_set_loaded(struct worker_set *set, struct arena *arena, const PGresult *rows, const PGresult *held);
struct worker *worker_set_find(struct worker_set *set, const char *id);
/* Writes each changed worker once. */
void worker_set_pipeline_store(struct worker_set *set, struct pg_pipeline *pipeline);
