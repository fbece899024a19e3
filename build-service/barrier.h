/*
 * "Everything up to now is applied": end offsets of some partitions, read now, and whether the stored offsets have
 * reached them. Before an attempt is called lost, what its worker may have written is applied first (PROTOCOL.md
 * section 5). On the inbox's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/inbox.h"

#define BARRIER_PARTITIONS 12 /* of each topic below, by topics.c */

enum barrier_topic { BARRIER_REQUESTS, BARRIER_RESULTS, BARRIER_WORKER_EVENTS, BARRIER_TOPICS };

struct barrier {
	bool wanted[BARRIER_TOPICS][BARRIER_PARTITIONS];
	int64_t end[BARRIER_TOPICS][BARRIER_PARTITIONS];
};

void barrier_clear(struct barrier *barrier);
/* The partition of a key of the topic. */
void barrier_want(struct barrier *barrier, enum barrier_topic topic, const char *key);
/* Reads the end offsets. */
int barrier_set(struct barrier *barrier, struct inbox *inbox, struct error *err) MUST_CHECK;
/* Looks into the database: true when all were reached. */
int barrier_passed(const struct barrier *barrier, struct pg_conn *conn, bool *ret_passed, struct error *err) MUST_CHECK;
