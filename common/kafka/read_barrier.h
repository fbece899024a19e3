/*
 * The ends of a topic's partitions that a quorum stands behind: what a proof of absence counts from
 * (api-gateway/builds/build_lookup.h), and what must be applied before a lease is over (build-service/barrier.h).
 *
 * The end that a broker tells (ListOffsets) is not one. A broker that stood still while its partitions went to another
 * answers with the end that they had, until it learns of that (chaos seed 6: tests/chaos/README.md); a record that was
 * acknowledged meanwhile lies behind it. So a record of our own is written there, `read.barrier` (docs/messages.md),
 * and its offset is the end: what was acknowledged before it was sent lies below, and only a leader that the in-sync
 * replicas follow acknowledges it. Raft reads through its log for the same reason (Ongaro's thesis, section 6.4).
 *
 * One record serves all who ask for a partition before it is sent. One of a partition is under way at a time, and one
 * begins at the earliest READ_BARRIER_PAUSE_MS after the last, so that nobody fills the log by asking: 12
 * partitions take 480 records of some 300 bytes a second of a process at most.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/producer.h"

#define READ_BARRIER_PAUSE_MS 25

struct read_barriers;

/* Of one of Kiln's topics (topics.h) whose readers pass over such records. `source` is their ce_source. Both strings are
 * the caller's and outlive them. The producer, too, is the caller's, and freed before they are; not an idempotent one,
 * which may have acknowledged a repeated record without telling where it lies. */
struct read_barriers *read_barriers_new(struct kafka_producer *producer, const char *topic, const char *source);
/* Takes NULL. */
void read_barriers_free(struct read_barriers *barriers);

/* A question for the end of a partition. Ask, then wait as often as need be, or not at all: a record that cannot be sent
 * yet is sent by whoever waits. With a deadline that has passed (0), waiting is a look that never blocks. Any thread. */
struct read_barrier {
	int32_t partition;
	uint64_t ticket;
};
struct read_barrier read_barrier_ask(struct read_barriers *barriers, int32_t partition);
/*
 * 1: each record of the partition that was acknowledged to anybody before the question was asked lies below *ret_end.
 * 0: not known by the deadline (clock_boot_ms). -1: it will not be known, with what kafka_produce or its delivery fails
 * with.
 */
int read_barrier_wait(struct read_barriers *barriers, const struct read_barrier *barrier, int64_t deadline_ms,
					  int64_t *ret_end, struct error *err) MUST_CHECK;
