#include "common/http/exchange.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/http/easy.h"

#define MAX_HEADER_BYTES (64UL * 1024)

/* The host as the URL has it, without brackets: what an entry of the allow-list may name. */
static char *host_of(const char *url)
{
	CURLU *parsed = curl_url();
	char *text = NULL, *host = NULL;

	CHECK(parsed != NULL);
	if (curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &text, 0) == CURLUE_OK) {
		size_t len = strlen(text);
		host = text[0] == '[' && len > 2 ? xstrndup(text + 1, len - 2) : xstrdup(text);
	}
	curl_free(text);
	curl_url_cleanup(parsed);
	return host;
}

struct exchange *exchange_new(const struct http_request *request, http_done *done, void *ctx)
{
	struct exchange *exchange = xcalloc(1, sizeof(*exchange));

	list_init(&exchange->node);
	exchange->done = done;
	exchange->ctx = ctx;
	exchange->method = xstrdup(request->method);
	exchange->url = xstrdup(request->url);
	exchange->host = host_of(request->url);
	for (const char *const *header = request->headers; header != NULL && *header != NULL; header++) {
		exchange->headers = curl_slist_append(exchange->headers, *header);
		CHECK(exchange->headers != NULL);
	}
	/* No 100-continue dance for large bodies. */
	exchange->headers = curl_slist_append(exchange->headers, "Expect:");
	CHECK(exchange->headers != NULL);
	if (request->body != NULL)
		exchange->body = xmemdup(request->body, request->body_len);
	exchange->body_len = request->body_len;
	exchange->timeout_ms = request->timeout_ms;
	exchange->connect_timeout_ms = request->connect_timeout_ms;
	buffer_init(&exchange->answer, request->max_response_bytes + 1);
	return exchange;
}

void exchange_free(struct exchange *exchange)
{
	if (exchange->easy != NULL)
		curl_easy_cleanup(exchange->easy);
	curl_slist_free_all(exchange->headers);
	buffer_release(&exchange->answer);
	free(exchange->method);
	free(exchange->url);
	free(exchange->host);
	free(exchange->body);
	free(exchange);
}

static bool permitted(struct exchange *exchange, const struct sockaddr *address)
{
	bool permits = address_guard_permits(exchange->guard, exchange->host, address);

	if (permits)
		exchange->tried = true;
	else
		exchange->denied = true;
	return permits;
}

/* Every new connection, each address of the name by itself. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	if (purpose != CURLSOCKTYPE_IPCXN || !permitted(ctx, &address->addr))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before each request, also on a connection that was opened for another one (whose URL the allow-list may have named by
 * host). */
static int on_connected(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
	struct exchange *exchange = ctx;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;

	(void)local_ip;
	(void)local_port;
	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, ip, &address.in.sin_addr) == 1) {
		address.in.sin_family = AF_INET;
		address.in.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, ip, &address.in6.sin6_addr) == 1) {
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_port = htons((uint16_t)port);
	} else {
		exchange->denied = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (permitted(exchange, &address.any))
		return CURL_PREREQFUNC_OK;
	exchange->tried = false;
	return CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct exchange *exchange = ctx;
	size_t len = size * count, room = exchange->answer.max - 1 - exchange->answer.len;

	if (len <= room) {
		(void)buffer_append(&exchange->answer, data, len); /* there is room */
		return len;
	}
	(void)buffer_append(&exchange->answer, data, room); /* there is room */
	exchange->cut = true;
	/* Ends the transfer: what follows is nobody's business. */
	return CURL_WRITEFUNC_ERROR;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
	struct exchange *exchange = ctx;
	size_t len = size * count;

	exchange->header_bytes += len;
	if (exchange->header_bytes > MAX_HEADER_BYTES) {
		exchange->headers_too_long = true;
		return 0;
	}
	/* A status line begins another answer (100, then 200). */
	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
		exchange->retry_after = false;
	if (len > 12 && strncasecmp(data, "retry-after:", 12) == 0)
		exchange->retry_after = true;
	return len;
}

static void set_body(struct exchange *exchange)
{
	CURL *easy = exchange->easy;

	if (exchange->body != NULL) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body);
	} else if (str_equal(exchange->method, "HEAD")) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, exchange->method);
}

void exchange_prepare(struct exchange *exchange, const struct address_guard *guard)
{
	CURL *easy = curl_easy_init();

	CHECK(easy != NULL);
	exchange->easy = easy;
	exchange->guard = guard;
	exchange->started_us = clock_boot_us();
	curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->curl_message);
	http_easy_basics(easy);
	curl_easy_setopt(easy, CURLOPT_URL, exchange->url);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)exchange->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)exchange->connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
	set_body(exchange);
}

static int classify(const struct exchange *exchange, CURLcode code, struct error *err)
{
	const char *why = exchange->curl_message[0] != '\0' ? exchange->curl_message : curl_easy_strerror(code);

	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && exchange->cut))
		return 0;
	if (exchange->cancelled) /* whatever became of the addresses until then: the next one might have answered */
		return error_set(err, ERR_CANCELLED, "the client ends");
	if (exchange->denied && !exchange->tried)
		return error_set(
			err, ERR_DENIED,
			"%s has no address that Kiln may speak to: it is not public, and the allow-list does not name it",
			exchange->host != NULL ? exchange->host : "the host");
	if (exchange->headers_too_long)
		return error_set(err, ERR_UNAVAILABLE, "the answer's headers are longer than %lu bytes", MAX_HEADER_BYTES);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return error_set(err, ERR_TIMEOUT, "%s", why);
	/* With a connection it is the answer that libcurl does not understand, which the next one may be: it has the same
	 * codes for that. */
	if (!exchange->tried && (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL))
		return error_set(err, ERR_INVALID, "%s", why);
	return error_set(err, ERR_UNAVAILABLE, "%s", why);
}

void exchange_end(struct exchange *exchange, CURLcode code)
{
	struct http_response response = {.retry_after_s = -1};
	long number = 0;
	curl_off_t wait_s = 0;

	(void)classify(exchange, code, &response.error); /* the class is in the error */
	if (exchange->easy != NULL) {
		response.duration_us = clock_boot_us() - exchange->started_us;
		if (curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &number) == CURLE_OK)
			response.reached_network = number > 0;
		if (curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &number) == CURLE_OK)
			response.status = (int)number;
		if (exchange->retry_after && curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK)
			response.retry_after_s = wait_s;
	}
	response.body = exchange->answer.data;
	response.body_len = exchange->answer.len;
	exchange->done(exchange->ctx, &response);
	exchange_free(exchange);
}

void exchange_cancel(struct exchange *exchange)
{
	exchange->cancelled = true;
	exchange_end(exchange, CURLE_ABORTED_BY_CALLBACK);
}
