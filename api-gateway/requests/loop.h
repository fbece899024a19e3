/*
 * One event loop: a thread with an h2o context and what its parts keep there (connections, streams, waits, spare
 * requests). It knows its siblings, and nothing of the server that has made them.
 */
#pragma once

#include <h2o.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/http/access_log.h"
#include "api-gateway/callers/auth.h"
#include "api-gateway/builds/build_reads.h"
#include "api-gateway/requests/connections.h"
#include "api-gateway/gateway.h"
#include "api-gateway/requests/handover.h"
#include "common/base/compiler.h"

#define LOOP_RANDOM_BYTES 4096

struct server;

/* All of a gateway's. Constant after their threads have begun. */
struct loops {
	struct loop *of;
	size_t len;
	size_t connections_max; /* that they may have open together */
};

struct loop {
	h2o_context_t ctx;       /* first: req->conn->ctx is the loop */
	const struct loops *all; /* this one and its siblings */
	size_t index;            /* in them */
	struct server *server;   /* server.c */
	struct gateway *gateway;
	pthread_t thread;
	h2o_accept_ctx_t accept_ctx;
	int listen_fd; /* the listener's, from its making on */
	h2o_socket_t *listener;
	bool listening;
	h2o_multithread_receiver_t requests; /* request_post */
	h2o_multithread_receiver_t control;  /* server_leave, server_drain */
	h2o_timeout_t accept_timeout;        /* ACCEPT_DEADLINE_MS */
	h2o_timeout_t request_timeout;       /* KILN_REQUEST_TIMEOUT_MS */
	h2o_timeout_t rest_timeout;          /* what of that is left after ACCEPT_DEADLINE_MS, if anything is */
	h2o_timeout_t pause_timeout;         /* before accepting again after EMFILE */
	h2o_timeout_entry_t pause;
	int64_t complain_ms; /* of descriptors, not before that */
	struct connections connections;
	struct handovers handovers;
	struct access_log *log;
	struct stream_hub *streams;
	struct build_waits *waits;
	struct build_reads_turn reads;
	bool draining;
	_Atomic int64_t drain_until_ms; /* 0: only leaving */
	size_t random_left;
	uint8_t random[LOOP_RANDOM_BYTES];
	struct request *spare; /* request.c */
	size_t spare_len;
	struct auth_digest token_digest; /* auth.c */
	/* Of the hot path, used within one call. */
	struct buffer scratch;
	struct json_pool *trees;
};

/* Any thread: the one after it, round and round. */
static inline struct loop *loop_next(const struct loop *loop)
{
	return &loop->all->of[(loop->index + 1) % loop->all->len];
}

static inline struct loop *loop_of(const h2o_req_t *req)
{
	return CONTAINER_OF(req->conn->ctx, struct loop, ctx);
}

/* Loop thread: at most LOOP_RANDOM_BYTES random bytes, without a system call each. */
void loop_random(struct loop *loop, void *ret, size_t len);
