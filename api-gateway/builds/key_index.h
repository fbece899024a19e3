/*
 * What the gateway's tail has seen of builds with an Idempotency-Key: by id, the hash of the body that the first record
 * asked for. Smaller and longer-lived than recent_builds, which keeps whole requests. Filled by the tail's thread,
 * asked by loops and workers; bounded, the oldest go first.
 *
 * Per partition it knows what it can prove: every record from `floor` up to `position` was seen, and those with a key
 * are still here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/list.h"

struct key_index;

struct key_index *key_index_new(size_t partitions, size_t max_entries);
/* After the tail has ended. Who still waits is forgotten. */
void key_index_free(struct key_index *index);

/* The tail's thread. It begins (again) at this offset; what was proved of the partition before is forgotten; when that
 * is back from where it was, the keys from there on too: the log became shorter. */
void key_index_start(struct key_index *index, int32_t partition, int64_t offset);
/* A build.requested of a keyed id (a UUIDv8), before key_index_advance has passed it. The first one of an id counts. */
void key_index_add(struct key_index *index, int32_t partition, int64_t offset, const char *id, const void *value,
				   size_t value_len);
/* Everything of the partition below `position` was read. Costs no lock while nobody waits. */
void key_index_advance(struct key_index *index, int32_t partition, int64_t position);

/* What Postgres says of an id, by one snapshot. */
enum key_row_state {
	KEY_ROW_UNKNOWN, /* it is away */
	KEY_ROW_FAILED,  /* it is there, and could not say */
	KEY_ROW_ABSENT,  /* no such build, with every record of its partition below `applied` in the snapshot */
	KEY_ROW_THERE,   /* a build, or what was left of a pruned one */
};
struct key_row {
	enum key_row_state state;
	bool has_hash; /* a row without one is equal to no body */
	uint8_t hash[SHA256_SIZE];
	int64_t applied;
};

enum key_verdict {
	KEY_FREE,      /* no record of this id is known */
	KEY_SAME,      /* the id's first record asked for this body */
	KEY_OTHER,     /* … for another one */
	KEY_UNDECIDED, /* Postgres lags behind what is still kept here, or could not say */
};
/*
 * Whether the id's first record, anywhere, had this hash: by Postgres' row, else by the first record at or after what
 * the row's snapshot has applied. While Postgres is away, the first record that is known here counts: two
 * bodies under a key are told apart as far back as the index reaches, and they are one build in any case.
 */
enum key_verdict key_index_judge(struct key_index *index, int32_t partition, const char *id,
								 const uint8_t hash[SHA256_SIZE], const struct key_row *row);

/* Who waits until the record at `offset` was read. */
struct key_waiter {
	int32_t partition;
	int64_t offset;
	void (*passed)(struct key_waiter *waiter); /* the tail's thread, the index locked: must not call it */
	struct list_node node;
};
/* True: it was read already, and `passed` will not be called. */
bool key_index_wait(struct key_index *index, struct key_waiter *waiter);
/* True: taken back. False: `passed` was or is being called, or it does not wait. */
bool key_index_cancel(struct key_index *index, struct key_waiter *waiter);
