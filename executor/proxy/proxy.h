/*
 * The model proxy of one attempt: what the agent takes for its model's API. It adds the key, which the agent never
 * holds, lets only the requests of that API through (model_api.h), streams both ways with bounded memory, counts what
 * the answers took (model_usage.h), and refuses more when a limit of the build is reached (meter.h).
 *
 * It lives in the attempt's child, in a thread of its own, so that an agent whose log is held up, or a line of 16 MB
 * that is being parsed, does not stop its model; and what a hostile agent does to it is done to this attempt only.
 *
 * It listens on a unix socket, for an agent in a sandbox that has nothing else, or on a loopback port. Requests carry
 * a token, made for this attempt, where the vendor's clients put the key.
 *
 * For what the project's network.allow names it is also a proxy of HTTP CONNECT (RFC 9110, 9.3.6), with the same token
 * as its password. Names are resolved here, not by the agent, and the guard looks at every address.
 *
 * Limits: 32 connections (more wait), a head of 32 KiB, a body of 64 MiB, about 200 KiB of buffers for each request
 * under way; 30 s for a head, 60 s for the next piece of a body, idle_ms for the model's next byte. 64 tunnels besides
 * (more are refused), 64 KiB of buffers for each at the most, 30 s for resolving and connecting.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_guard.h"
#include "common/http/network_rules.h"
#include "executor/proxy/meter.h"
#include "executor/proxy/model_api.h"

struct model_proxy;

/* Strings and prices are the caller's, and outlive the proxy. */
struct model_proxy_options {
	struct model_api api; /* base_url NULL: the agent has no model */
	struct model_limits limits;
	const struct model_prices *prices;
	const char *socket_path; /* of a unix socket that is made, of any length; NULL: a port of 127.0.0.1 */
	int64_t idle_ms;
	bool server_tools;                 /* the vendor may reach other servers in the agent's name (reach.h) */
	const struct network_rules *rules; /* NULL: no tunnels */
	const struct address_guard *guard; /* of where they lead */
	int64_t tunnel_idle_ms;            /* for which a tunnel may stand without a byte */
};

/* What would otherwise be done for the first time while a build waits. */
void model_proxy_warm_up(void);

/* Listens; answers nobody yet. */
int model_proxy_new(const struct model_proxy_options *options, struct model_proxy **ret_proxy,
					struct error *err) MUST_CHECK;
/* The port, 0 = it listens on a socket. What the agent is given as its key. */
int model_proxy_port(const struct model_proxy *proxy);
const char *model_proxy_token(const struct model_proxy *proxy);
/* The user of CONNECT, whose password is the token; and the two as a header has them, to be masked. */
#define MODEL_PROXY_USER "kiln"
const char *model_proxy_basic(const struct model_proxy *proxy);

/* Once. Until model_proxy_stop (also by itself, in model_proxy_free), which cuts what is under way. */
int model_proxy_start(struct model_proxy *proxy, struct error *err) MUST_CHECK;
/* Ends the thread and closes all connections; what it has counted stays, until model_proxy_free. Harmless when it was
 * not started; not NULL. */
void model_proxy_stop(struct model_proxy *proxy);
void model_proxy_free(struct model_proxy *proxy); /* accepts NULL */

/* Readable when model_proxy_take has something new. */
int model_proxy_fd(const struct model_proxy *proxy);
/* The thread that started it, also after its end. Appends the access lines that have come, each with its newline; room
 * for MODEL_PROXY_LINES_BYTES is wanted. Requests wait while nobody takes them. *ret_key: a key that was not in use
 * before, to be masked and model_key_free'd; NULL = none. */
#define MODEL_PROXY_LINES_BYTES ((size_t)160 * 1024)
void model_proxy_take(struct model_proxy *proxy, struct buffer *lines, char **ret_key);
/* When bytes of a call last went to the model or came from it (clock_boot_ms); 0 = never. Any thread. */
int64_t model_proxy_active_ms(const struct model_proxy *proxy);
/* The counts as of now, with the verdict. Any thread. */
struct model_meter model_proxy_meter(struct model_proxy *proxy);
