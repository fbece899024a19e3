/* One request and its answer on libcurl; internal to client.c. Everything here runs on the client's thread but
 * exchange_new and exchange_free. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/list.h"
#include "common/http/client.h"

struct exchange {
	struct list_node node;
	CURL *easy; /* NULL before exchange_prepare */
	const struct address_guard *guard;
	http_done *done;
	void *ctx;

	char *method, *url, *host;
	struct curl_slist *headers;
	char *body;
	size_t body_len;
	int timeout_ms, connect_timeout_ms;

	struct buffer answer;
	size_t header_bytes;
	bool cut;         /* the answer's body was longer than wanted */
	bool retry_after; /* the answer has that header */
	bool headers_too_long;
	bool denied, tried; /* an address was refused; a permitted one was tried */
	bool cancelled;     /* the client ends */
	int64_t started_us;
	char curl_message[CURL_ERROR_SIZE];
};

/* Copies the request. Any thread. */
struct exchange *exchange_new(const struct http_request *request, http_done *done, void *ctx);
void exchange_free(struct exchange *exchange);
/* Makes the easy handle. */
void exchange_prepare(struct exchange *exchange, const struct address_guard *guard);
/* Calls `done` and frees the exchange, whose handle is in no multi any more. */
void exchange_end(struct exchange *exchange, CURLcode code);
/* The same before it has ended by itself: the client ends. */
void exchange_cancel(struct exchange *exchange);
