/*
 * "Everything up to now is applied": the ends that some partitions have now, and whether the stored offsets have passed
 * them. Before an attempt is called lost, what its worker may have written is applied first (docs/protocol.md
 * section 5). On the inbox's thread.
 *
 * No leader's word is taken for an end: one that was deposed while it stood still tells an old one for a moment. The end
 * is where a record of our own lies that the in-sync replicas have acknowledged (common/kafka/read_barrier.h), and it is
 * passed when that record is applied. One that is not acknowledged decides nothing; the next is sent after a pause
 * (partition_pause.h).
 *
 * Each entry of a round waits for its own partitions only, so one that does not go on (it has no leader, its log has
 * lost its end or its beginning) holds up nobody else: the round is over after BARRIER_WAIT_MS, and what has not passed
 * by then is for a later round. Nothing here blocks on Kafka.
 *
 *     barrier_init(&barrier, &service->ends);    (before the first round)
 *     barrier_clear(&barrier);
 *     for each entry: partitions_add(&entry.partitions, topic, key); barrier_want(&barrier, &entry.partitions);
 *     barrier_set(&barrier, conn, &err);
 *     until barrier_is_over(&barrier): barrier_look(&barrier, conn, &err); barrier_passed(&barrier, &entry.partitions)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build-service/partition_pause.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/producer.h"
#include "common/kafka/read_barrier.h"
#include "common/pg/pg.h"

#define BARRIER_PARTITIONS 12 /* of each topic below, by topics.c */
#define BARRIER_WAIT_MS 5000

enum barrier_topic { BARRIER_REQUESTS, BARRIER_RESULTS, BARRIER_WORKER_EVENTS, BARRIER_TOPICS };

/* A set of partitions, a bit each. Zeroed it is empty. */
struct partitions {
	uint16_t of[BARRIER_TOPICS];
};
/* The partition of a key of the topic. */
void partitions_add(struct partitions *partitions, enum barrier_topic topic, const char *key);
/* All of the topic's. */
void partitions_add_all(struct partitions *partitions, enum barrier_topic topic);

/* The records that tell the ends of the topics above; the barriers of a process share them. */
struct partition_ends {
	struct read_barriers *of[BARRIER_TOPICS];
};
/* The producer as read_barriers_new has it. */
void partition_ends_init(struct partition_ends *ends, struct kafka_producer *producer);
/* After the producer. */
void partition_ends_release(struct partition_ends *ends);

struct barrier_end {
	struct read_barrier asked;
	int64_t applied;              /* when it was asked for */
	int64_t value;                /* once it is known */
	struct partition_pause pause; /* of all rounds */
};

struct barrier {
	const struct partition_ends *ends;
	struct partitions wanted, known, passed; /* each a part of the one before */
	struct partitions unknown; /* they cannot pass: no record was acknowledged, or it lies below what was applied */
	int64_t over_ms;
	bool timed_out; /* by the last look */
	struct barrier_end end[BARRIER_TOPICS][BARRIER_PARTITIONS];
};

/* `ends` is the caller's and outlives it. */
void barrier_init(struct barrier *barrier, const struct partition_ends *ends);
void barrier_clear(struct barrier *barrier);
void barrier_want(struct barrier *barrier, const struct partitions *partitions);
/* Reads the stored offsets and then asks for the ends. Fails only for the database. */
int barrier_set(struct barrier *barrier, struct pg_conn *conn, struct error *err) MUST_CHECK;
/* Looks into the database, and for acknowledgements, once more; those that do not come are logged. */
int barrier_look(struct barrier *barrier, struct pg_conn *conn, struct error *err) MUST_CHECK;
/* Whether these were all passed, by the last look. */
bool barrier_passed(const struct barrier *barrier, const struct partitions *partitions);
/* All that can pass have passed, or the time is over, by the last look. */
bool barrier_is_over(const struct barrier *barrier);
