/*
 * GET /builds/{id} of builds that the gateway has not in memory: their rows are read many at once (lookups.h), and
 * the answers are written by the thread that read them. Whatever a row alone cannot answer goes on to a worker, which
 * does all that build_lookup.h says: no row (yet), no answer from Postgres, a project that the token does not see, a
 * build too large to be read together with others.
 */
#pragma once

#include <h2o.h>

#include "api-gateway/requests/lookups.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define BUILD_READS_BATCH 64

struct build_reads;
struct gateway;
struct loop;
struct request;

/* A loop's: what one turn of it has gathered. */
struct build_reads_turn {
	h2o_timeout_entry_t end;
	size_t len;
	struct lookup *asked[BUILD_READS_BATCH];
};

/* After the workers. */
int build_reads_start(struct gateway *gateway, struct build_reads **ret_reads, struct error *err) MUST_CHECK;
/* After the loops' threads have ended, before the workers: ends the threads and frees them. Takes NULL. What is still
 * asked goes back unread. */
void build_reads_stop(struct build_reads *reads);

/* On the loop's own thread, once. */
void build_reads_turn_init(struct build_reads_turn *turn);
/* Loop: answers a GET of request->param, which is a build id. Too many that wait are 503. */
void build_reads_answer(struct request *request);
