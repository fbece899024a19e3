/*
 * What an expiry decides of one worker: which of its attempts are lost, and why, and which end because nobody can read
 * their result (expiry.c waits, loads and stores). Of thousands at once, one transaction takes as many as fit; the
 * others stay due.
 *
 * The inbox's thread.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/leases.h"
#include "build-service/transitions.h"
#include "build-service/workers.h"

/* Builds of one transaction, whose texts are in memory together. Their events are bounded by trail_is_full. */
#define LOSSES_AT_ONCE 256

struct losses {
	struct leases *leases;
	struct build_set *set;
	struct command_list *commands; /* to tell the worker what it has lost */
	struct transition_context context;
};

/* Wants the builds of what is due, as many as one transaction takes. */
void losses_want(struct losses *losses, const struct lease_due *due, const struct worker *worker);

/* With those builds locked. Who was accepted meanwhile is taken out of *due. Returns how many were lost, without those
 * of an earlier start of the worker; *ret_more: others are left for another transaction, and some of these are not held
 * any more. */
size_t losses_apply(struct losses *losses, struct lease_due *due, struct worker *worker, bool *ret_more);
