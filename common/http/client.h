/*
 * Outgoing HTTP by libcurl multi on one thread. http and https only, no redirects followed, no environment proxy, body
 * and header limits, every connection checked by the address guard at the resolved address (also reused ones).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_guard.h"

struct http_client;

struct http_request {
	const char *method; /* "POST", "GET", … */
	const char *url;
	const char *const *headers; /* "name: value", NULL-terminated; may be NULL */
	const void *body;
	size_t body_len;
	int timeout_ms; /* the whole exchange */
	int connect_timeout_ms;
	size_t max_response_bytes; /* more of the body is cut, not an error */
};

struct http_response {
	/* ERR_NONE when an answer came (whatever its status). ERR_DENIED: address guard. ERR_INVALID: a URL that no
	 * request can be made of, nobody was asked. ERR_TIMEOUT, ERR_UNAVAILABLE (resolve, connect, TLS, reset, an answer
	 * that is no HTTP), ERR_CANCELLED (client freed). */
	struct error error;
	int status;       /* 0: none came; there may be one with an error: then its body did not end, or not well */
	const char *body; /* NUL-terminated, valid during the callback */
	size_t body_len;
	int64_t retry_after_s; /* -1 when absent; dates are turned into seconds */
	int64_t duration_us;
	bool reached_network; /* something was sent */
};

typedef void http_done(void *ctx, const struct http_response *response);

/* The guard must outlive the client. max_in_flight bounds started requests; further ones wait in a queue of max_queued.
 */
int http_client_new(const struct address_guard *guard, size_t max_in_flight, size_t max_queued,
					struct http_client **ret_client, struct error *err) MUST_CHECK;
/* Ends requests under way (their callbacks get ERR_CANCELLED), joins the thread. */
void http_client_free(struct http_client *client);

/* Any thread. Everything is copied. `done` is called exactly once on the client's thread, unless this returns -1
 * (ERR_LIMIT: the queue is full). */
int http_client_send(struct http_client *client, const struct http_request *request, http_done *done, void *ctx,
					 struct error *err) MUST_CHECK;
