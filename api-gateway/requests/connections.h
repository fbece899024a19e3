/*
 * The open client connections of a loop: their deadlines, and what happens when there are too many. h2o knows one time
 * limit, from the last answer to the end of the next request's body, and none for writing. Here each has its own:
 *
 *   KILN_HEADER_TIMEOUT_MS  from the accept, or a next request's first byte, to the end of its head; then 408
 *   KILN_BODY_TIMEOUT_MS    from there to the end of the body; then 408
 *   KILN_IDLE_TIMEOUT_MS    from an answer to the next request's first byte; then it is closed
 *   KILN_WRITE_TIMEOUT_MS   for the client to take an answer; then the connection is reset (request.c asks for it)
 *
 * The first three are looked at by a sweep over the loop's connections, and so may be late by its interval (a quarter
 * of the shortest, 1 s at most). Streams have limits of their own (streams.h), answers too (workers.h, accept.c).
 *
 * With KILN_MAX_CONNECTIONS open, one more takes the place of one that waits for TLS's handshake, for a request, or for
 * longer than a moment for its body (503): of one of the loop that accepted it, or else of another (handover.h). When
 * none does, it is refused by 503. So clients that only hold connections keep nobody out.
 *
 * h2o keeps a request in memory until it is whole, before anybody has seen its token. The sweep adds them up over all
 * loops: beyond KILN_MAX_UNREAD_BYTES the largest are ended by 503. What comes between two sweeps is on top.
 *
 * Loop thread, all of it.
 */
#pragma once

#include <h2o.h>

#include "api-gateway/requests/linger.h"
#include "common/base/list.h"

struct gateway_config;
struct loop;

/* A loop's. */
struct connections {
	struct list_node all;
	size_t len, leaving;           /* open; of them those that are about to be closed */
	size_t unread;                 /* bytes of requests that are not whole, as of the last sweep */
	_Atomic size_t largest_unread; /* of the largest of them; other loops look */
	h2o_timeout_t sweep_timeout, write_timeout;
	h2o_timeout_entry_t sweep;
	struct lingers lingers;
};

/* Once, before the loops. */
void connections_register_metrics(void);
/* How many this process may have open at once: what is wished, as far as its limit of descriptors (which is raised as
 * far as allowed) leaves some for everything else; less is logged. */
size_t connections_allowed(const struct gateway_config *config);

void connections_init(struct loop *loop);
/* A socket that was accepted: h2o's from here on, another loop's, or refused. `asked`: so many loops have had no room
 * for it before this one. */
void connection_take(struct loop *loop, h2o_socket_t *sock, size_t asked);
/* h2o has handed it over to an event stream (streams.h): it waits for nothing that the client owes. */
void connection_taken_over(h2o_socket_t *sock);
/* A request that is whole. False: it is to be worked on. True: its client was told that it is not, or its connection was
 * ended for another's sake, while the rest lay in the kernel, which hands it out all the same; nothing is done for it. */
bool connection_drops(struct loop *loop, h2o_req_t *h2o);
/* The client did not take its answer in time. */
void connection_reset(h2o_req_t *h2o);
/* At a drain, again and again: what waits for a request ends, what is answered ends with the answer. */
void connections_close_idle(struct loop *loop);
