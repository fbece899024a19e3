/*
 * Striking attempts that no worker accepted in time (docs/protocol.md section 5): only when the build's results
 * partition has been applied up to an end that was asked for after the deadline; the worker gets nothing more before
 * it has read up to the present end of its assignments. While that end is not known (the partition has no leader) its
 * attempts stay as they are, and nobody else's wait for them. On the inbox's thread.
 */
#pragma once

#include "build-service/barrier.h"
#include "build-service/build_set.h"
#include "build-service/deadlines.h"
#include "build-service/end_offset.h"
#include "build-service/rounds.h"
#include "build-service/service.h"
#include "build-service/transitions.h"
#include "build-service/workers.h"
#include "common/pg/inbox.h"

#define STRIKES_ROUND 256
#define STRIKES_PARTITIONS 32 /* of kiln.build.assignments, by topics.c */

struct strikes {
	struct service *service;
	struct build_set set;
	struct worker_set workers;
	struct transition_context context;
	struct command_list commands;
	struct rows held_back;

	/* A round: these wait for the barrier, each for its own partition. */
	struct overdue round[STRIKES_ROUND];
	size_t round_len;
	size_t ready_len; /* the first so many have passed it */
	struct rounds rounds;
	int64_t next_round_ms;
	struct barrier barrier;
	bool struck[STRIKES_ROUND];                /* of those: nobody had accepted it */
	struct end_offset end[STRIKES_PARTITIONS]; /* of the assignments' partitions, by their leaders */
};

void strikes_init(struct strikes *strikes, struct service *service);
void strikes_release(struct strikes *strikes);
/* One step of the round under way, or the beginning of one. */
int strikes_tick(struct strikes *strikes, struct inbox *inbox, struct pg_conn *conn, struct error *err) MUST_CHECK;
