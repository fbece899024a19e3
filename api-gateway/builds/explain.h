/*
 * Why a build waits (GET /builds/{taskId}/explain). The rules are not written down here a second time: the dispatcher's
 * own statements (build-service/matching/sql) and its own match are run on one snapshot, without writing anything, and
 * this only finds the words for what came out.
 *
 * Pure: no I/O. One thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "build-service/matching/matching.h"
#include "common/base/buffer.h"

/* What keeps it from starting now. Any number of them may be true. */
enum explain_blocker {
	EXPLAIN_NOT_BEFORE = 1,     /* it was lost or failed, and is tried again later */
	EXPLAIN_PROJECT_FULL = 2,   /* its project's concurrency is reached */
	EXPLAIN_NO_WORKER = 4,      /* no worker has the agent and all labels */
	EXPLAIN_WORKERS_AWAY = 8,   /* some have, but none of them is given builds now */
	EXPLAIN_SLOTS_BUSY = 16,    /* those that are have no free slot */
	EXPLAIN_BEHIND_OTHERS = 32, /* a slot is free, and goes to a build whose turn is before */
	EXPLAIN_PROJECT_GONE = 64,  /* a restore has not brought its project back */
};

/* What a worker that has the agent and the labels can do for it. */
enum explain_standing { EXPLAIN_FREE, EXPLAIN_BUSY, EXPLAIN_DRAINING, EXPLAIN_LOST, EXPLAIN_SILENT, EXPLAIN_BEHIND };
const char *explain_standing_name(enum explain_standing standing);

struct explain_worker {
	char id[UUID_TEXT_SIZE];
	const char *hostname; /* NULL: none */
	int32_t slots, free;
	enum explain_standing standing;
};

/* An attempt that takes a slot. */
struct explain_held {
	const char *worker_id, *project_id;
	int64_t elapsed_ms;
};

/* Builds of a class whose turn comes before. */
struct explain_line {
	const char *class_name;
	int64_t ahead;
};

/* One snapshot. */
struct explain_input {
	/* Of the build, which is in the queue. */
	const char *build_id, *project_id, *class_name;
	int32_t limit;     /* of its project; 0 = none */
	bool project_gone; /* and a place in it is needed */
	bool delayed;      /* its time has not come */
	bool parked;       /* met while its project was full: no candidate until it has come back into the line */
	int64_t now_us, not_before_us;
	int64_t project_ahead; /* builds of its project whose turn comes before */
	/* The dispatcher's: matching.h. The workers and candidates are written to. */
	struct match_worker *ready;
	size_t ready_len;
	struct match_candidate *candidates;
	size_t candidates_len;
	const struct match_slot *slots;
	size_t slots_len;
	/* All workers: `all` for what they can serve, `workers` for the rest, in the same order. The standing tells what
	 * speaks against each, EXPLAIN_FREE: nothing but, maybe, its slots. */
	const struct match_worker *all;
	struct explain_worker *workers;
	size_t workers_len;
	const struct explain_held *held;
	size_t held_len;
	const struct explain_line *line;
	size_t line_len;
	int64_t mean_ms; /* that builds hold a slot; -1: not known */
};

struct explanation {
	unsigned blockers;    /* bits of explain_blocker; 0: it starts with the next match */
	int64_t position;     /* 1: it is next */
	bool in_project_line; /* the position is one among its project's builds */
	size_t fitting;       /* workers that have what it needs: the first ones of `workers`, moved there */
	int64_t starts_us;    /* estimate; -1: it cannot be estimated */
};

struct explanation explain(struct explain_input *input);

/* EXPLAIN_NO_WORKER as a sentence, appended: which of the agent and the labels is missing. A maximum of 4 KiB does. */
void explain_no_worker(const struct explain_input *input, struct buffer *ret);
