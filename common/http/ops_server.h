/*
 * The ops port of every service: GET /livez (the process), /readyz (200, or 503 with what is missing by name),
 * /metrics. h2o on a thread of its own; HTTP/1.1 only, bound to KILN_OPS_ADDRESS. Port 0 takes any free one; the
 * address is logged as "ops port open".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* One condition of readiness. `check` is called on the ops thread for every /readyz: it must not block (look at state
 * that others keep). True when fulfilled; otherwise it appends one sentence to `why`. Checks are called until
 * ops_server_stop, also while the service drains: what they look at outlives it. */
struct ops_check {
	const char *name; /* "kafka", "postgres", "assignment", … */
	bool (*check)(void *ctx, struct buffer *why);
	void *ctx;
};

/* Starts the thread. `checks` is copied (the strings stay the caller's, static). /readyz also says "draining" once
 * signals_draining(). Body: {"status":"pass|fail","checks":[{"name","status","detail"}]} */
int ops_server_start(const char *address, int64_t port, const struct ops_check *checks, size_t count,
					 struct error *err) MUST_CHECK;
/* The bound port. */
int ops_server_port(void);
/* For the end of main: ends the thread, after the check under way. Before anything that the checks look at ends. There
 * is nothing to free; harmless when it was not started. */
void ops_server_stop(void);
