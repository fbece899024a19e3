/*
 * h2o closes a connection right after an early error (413, a broken body), with input unread: the kernel then sends a
 * reset, and the client may lose the answer. A second descriptor keeps the connection for a moment: our side is shut,
 * the rest of the input is read and thrown away.
 */
#pragma once

#include <h2o.h>

/* Loop: before h2o closes the connection of this request. Bounded: LINGER_MS, LINGER_BYTES. */
#define LINGER_MS 2000
#define LINGER_BYTES ((size_t)16 * 1024 * 1024)
void linger_begin(h2o_loop_t *loop, h2o_timeout_t *timeout, h2o_req_t *h2o);
