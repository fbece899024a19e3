/*
 * The HTTP side: N event loops, each a thread with an h2o context, all accepting from the one listening socket.
 *
 * HTTP/1.1 only, plain or by TLS (tls.h): `upgrade_to_http2` is off and ALPN knows http/1.1 alone, because Debian's h2o
 * 2.2.5 lacks the fix of HTTP/2's rapid reset (CVE-2023-44487). HTTP/2 is the business of a proxy in front.
 */
#pragma once

#include <h2o.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/access_log.h"
#include "api-gateway/auth.h"
#include "api-gateway/build_reads.h"
#include "api-gateway/connections.h"
#include "api-gateway/gateway.h"
#include "api-gateway/handover.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define LOOP_RANDOM_BYTES 4096

struct loop {
	h2o_context_t ctx; /* first: req->conn->ctx is the loop */
	struct server *server;
	size_t index;
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

struct server;

/* Binds and starts the threads; requests come as soon as this returns. */
int server_start(struct gateway *gateway, struct server **ret_server, struct error *err) MUST_CHECK;
/* From now on a connection ends with its next answer. Called once, before server_drain; returns at once. */
void server_leave(struct server *server);
/* Stops accepting, lets requests under way end, closes idle connections; returns when all are gone or at the deadline
 * (clock_boot_ms). */
void server_drain(struct server *server, int64_t deadline_ms);
/* The bound port, for tests and the log. */
int server_port(const struct server *server);
/* How many event loops there are. */
size_t server_loops(const struct server *server);
/* The one after it, round and round. */
struct loop *server_next_loop(struct loop *loop);
/* How many connections all of them may have open. */
size_t server_connections_max(const struct server *server);

/* Loop thread: random bytes without a system call each. */
void loop_random(struct loop *loop, void *ret, size_t len);
static inline struct loop *loop_of(const h2o_req_t *req)
{
	return CONTAINER_OF(req->conn->ctx, struct loop, ctx);
}
