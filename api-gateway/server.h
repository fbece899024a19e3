/*
 * The HTTP side: N event loops, each a thread with an h2o context, all accepting from the one listening socket.
 *
 * HTTP/1.1 only, plain or by TLS (tls.h): `upgrade_to_http2` is off and ALPN knows http/1.1 alone, because Debian's h2o
 * 2.2.5 lacks the fix of HTTP/2's rapid reset (CVE-2023-44487). HTTP/2 is the business of a proxy in front.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct gateway;
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
