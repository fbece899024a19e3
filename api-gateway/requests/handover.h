/*
 * Connections go to whichever loop accepts them first. One that has no room for it and can make none hands it on to the
 * next, which may have some: only when all have been asked is it refused. At most HANDOVERS_MAX are under way to a
 * loop: one more is refused at once.
 *
 * Loop thread, all of it.
 */
#pragma once

#include <h2o.h>
#include <stdatomic.h>
#include <stdbool.h>

#define HANDOVERS_MAX 32 /* each is a descriptor that counts as no connection */

struct loop;

/* What gets a connection that another loop has had no room for; `asked`: so many have had none. */
typedef void handover_take_fn(struct loop *loop, h2o_socket_t *sock, size_t asked);

/* A loop's: what comes to it. */
struct handovers {
	h2o_multithread_receiver_t receiver;
	handover_take_fn *take;
	atomic_size_t len;
};

/* Before any loop runs. */
void handovers_init(struct loop *loop, handover_take_fn *take);
/* `asked`: how many loops have had no room before this one. True: the socket is gone, and the next loop's
 * `take` gets its connection. */
bool handover_send(struct loop *loop, h2o_socket_t *sock, size_t asked);
