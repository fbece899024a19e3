/*
 * The audit trail: a build's numbered events, each hashed with the one before (docs/events.md). An event's body is
 * RFC 8785 canonical JSON, written with its keys in sorted order; the same bytes are stored, hashed and published.
 *
 * A trail collects the events of one transaction; build_set.c makes rows of them. One thread's.
 */
#pragma once

#include "build-service/build.h"
#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"

/* Of one transaction, all bodies together: each has its build's metadata (METADATA_MAX_BYTES). A single body is bounded
 * by what Kafka takes. */
#define TRAIL_MAX_BYTES ((size_t)256 * 1024 * 1024)
#define TRAIL_FULL_BYTES (TRAIL_MAX_BYTES / 2)

struct trail_row {
	const struct build *build;
	int32_t sequence;
	const char *type; /* static */
	int32_t attempt;
	size_t body_at, body_len; /* in trail.bodies */
	uint8_t hash[SHA256_SIZE];
};

struct trail {
	struct arena *arena; /* the transaction's */
	struct buffer bodies;
	struct trail_row *rows;
	size_t len, size;
	char time[CLOCK_RFC3339_SIZE]; /* of every event of this transaction */
};

void trail_init(struct trail *trail, struct arena *arena);
void trail_release(struct trail *trail);
/* Begins a transaction: empty, with the present time. */
void trail_begin(struct trail *trail);

/* What an event has beyond what every event has. NULL and false: not written. */
struct trail_extra {
	const char *worker_id;
	const char *mode;
	bool cancel_requested;
	bool with_base; /* base_sha and branch, also when they are null */
	const char *base_sha, *branch;
	const char *commit_sha;
	const char *reason;
	const char *sandbox;
	const char *continued;
	const char *error_class, *error_message; /* both or neither */
	const char *result;                      /* canonical JSON */
	int32_t lost_attempt;
	bool unsettled; /* ended without the proof that no late push can land */
};

/* Whoever chooses builds leaves the others to another transaction. What one build does fits in any case. */
static inline bool trail_is_full(const struct trail *trail)
{
	return trail->bodies.len >= TRAIL_FULL_BYTES;
}
/* False: events were left out, and nothing of the transaction may be stored. */
static inline bool trail_is_whole(const struct trail *trail)
{
	return buffer_ok(&trail->bodies);
}

/* Appends an event with the build's present state, takes its next sequence and moves its hash on. `extra` may be NULL.
 */
void trail_emit(struct trail *trail, struct build *build, const char *type, const struct trail_extra *extra);

static inline const char *trail_body(const struct trail *trail, const struct trail_row *row)
{
	return trail->bodies.data + row->body_at;
}
