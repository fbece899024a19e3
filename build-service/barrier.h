/*
 * "Everything up to now is applied": end offsets of some partitions, read now, and whether the stored offsets have
 * reached them. Before an attempt is called lost, what its worker may have written is applied first (docs/protocol.md
 * section 5). On the inbox's thread.
 *
 * Each entry of a round waits for its own partitions only, so one that does not go on (it has no leader, its log has
 * lost its end or its beginning) holds up nobody else: the round is over after BARRIER_WAIT_MS, and what has not passed
 * by then is for a later round.
 *
 *     barrier_clear(&barrier);    (zeroed before the first round)
 *     for each entry: partitions_add(&entry.partitions, topic, key); barrier_want(&barrier, &entry.partitions);
 *     barrier_set(&barrier, inbox, conn, &err);
 *     until barrier_is_over(&barrier): barrier_look(&barrier, conn, &err); barrier_passed(&barrier, &entry.partitions)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build-service/end_offset.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/inbox.h"

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

struct barrier {
	struct partitions wanted, passed;
	struct partitions unknown; /* they cannot pass: no end was read, or it lies below what was applied */
	int64_t over_ms;
	/* Of all rounds. */
	struct end_offset end[BARRIER_TOPICS][BARRIER_PARTITIONS];
	int ask_first; /* the place to begin with */
};

void barrier_clear(struct barrier *barrier);
void barrier_want(struct barrier *barrier, const struct partitions *partitions);
/* Reads the stored offsets and then the end offsets; ends that Kafka does not tell are logged. Fails only for the
 * database. */
int barrier_set(struct barrier *barrier, struct inbox *inbox, struct pg_conn *conn, struct error *err) MUST_CHECK;
/* Looks into the database once more. */
int barrier_look(struct barrier *barrier, struct pg_conn *conn, struct error *err) MUST_CHECK;
/* Whether these were all reached, by the last look. */
bool barrier_passed(const struct barrier *barrier, const struct partitions *partitions);
/* All that can pass have passed, or the time is over. */
bool barrier_is_over(const struct barrier *barrier);
