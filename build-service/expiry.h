/*
 * Leases that ran out, those of attempts that their worker's new start does not list, and attempts whose result Kafka
 * has and nobody can read (docs/protocol.md section 5). Only the owner of the worker's partition of kiln.worker.events
 * gets here: it asks for the ends of that partition and of the results partitions of the attempts, waits until
 * everything up to them is applied, and expires in a transaction that compare-and-sets the partition's offset row. On
 * the inbox's thread.
 */
#pragma once

#include "build-service/barrier.h"
#include "build-service/build_set.h"
#include "build-service/leases.h"
#include "build-service/losses.h"
#include "build-service/rounds.h"
#include "build-service/service.h"
#include "build-service/workers.h"
#include "common/pg/inbox.h"

#define EXPIRY_ROUND 64

struct expiry {
	struct service *service;
	struct leases *leases;
	struct build_set set;
	struct worker_set workers;
	struct command_list commands;
	struct losses losses;

	/* A round: these wait for the barrier, each for its own partitions. */
	struct lease_due round[EXPIRY_ROUND];
	struct partitions waits[EXPIRY_ROUND];
	size_t round_len;
	size_t undone; /* of the round, taken out of it: they are due still */
	struct rounds rounds;
	struct barrier barrier;
};

void expiry_init(struct expiry *expiry, struct service *service, struct leases *leases);
void expiry_release(struct expiry *expiry);
int expiry_tick(struct expiry *expiry, struct inbox *inbox, struct pg_conn *conn, struct error *err) MUST_CHECK;
