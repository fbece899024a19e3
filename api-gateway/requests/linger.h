/*
 * A connection that is closed with input unread is reset by the kernel, and the client may lose the answer that it was
 * just given (a 413, a refusal). So its end takes a moment: our side is shut (by TLS's close_notify if it is TLS), what
 * still comes is read and thrown away.
 * All of it on the loop; bounded by LINGER_MS, LINGER_BYTES, and so many at a time: one more is closed at once.
 */
#pragma once

#include <h2o.h>

#define LINGER_MS 2000
#define LINGER_BYTES ((size_t)16 * 1024 * 1024)
#define LINGERS_MAX 256 /* of all loops together: each is a descriptor that counts as no connection */

/* A loop's. */
struct lingers {
	h2o_loop_t *loop;
	h2o_timeout_t timeout;
	size_t len, max;
};

void lingers_init(struct lingers *lingers, h2o_loop_t *loop, size_t max);
/* Before h2o closes the connection of this request, by a second descriptor. */
void linger_begin(struct lingers *lingers, h2o_req_t *h2o);
/* Takes a socket of our own over; what was to be sent has been. */
void linger_take(struct lingers *lingers, h2o_socket_t *sock);
