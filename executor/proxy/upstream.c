/* The request to the model's API, by libcurl: the agent's body as it comes, the answer as it comes. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/http/easy.h"
#include "executor/proxy/inside.h"
#include "executor/proxy/key.h"

#define CONNECT_MS 30000L
#define BUFFER_BYTES 65536L
#define HEAD_MAX_BYTES ((size_t)32 * 1024)
#define WRITE_BYTES ((size_t)64 * 1024)
#define CHUNK_HEAD "00000000\r\n"
#define CHUNK_HEAD_LEN 10

/* ---- the request */

static void add_header(struct call *call, const char *line)
{
	struct curl_slist *more = curl_slist_append(call->headers, line);
	CHECK(more != NULL);
	call->headers = more;
}

static void set_headers(struct call *call, const struct request_head *head)
{
	enum model_protocol protocol = call->connection->proxy->options.api.protocol;
	for (size_t i = 0; i < head->headers_len; i++) {
		const struct phr_header *header = &head->headers[i];
		if (!model_header_goes(header->name, header->name_len))
			continue;
		CLEANUP(free_p)
		char *line =
			xasprintf("%.*s: %.*s", (int)header->name_len, header->name, (int)header->value_len, header->value);
		add_header(call, line);
	}
	CLEANUP(model_key_free_p) char *key_line = model_key_header(protocol, call->key);
	add_header(call, key_line);
	add_header(call, "Expect:");
	if (head->body_bytes < 0)
		add_header(call, "Transfer-Encoding: chunked");
}

static void free_headers(struct call *call)
{
	for (struct curl_slist *line = call->headers; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(call->headers);
	call->headers = NULL;
}

static void set_url(struct call *call, const struct request_head *head)
{
	const struct model_api *api = &call->connection->proxy->options.api;
	size_t base_len = strlen(api->base_url), prefix = strlen(MODEL_PATH_PREFIX);
	while (base_len > 0 && api->base_url[base_len - 1] == '/')
		base_len--;
	call->url =
		xasprintf("%.*s%s%.*s%s%.*s", (int)base_len, api->base_url, api->version, (int)(head->path_len - prefix),
				  head->path + prefix, head->query_len > 0 ? "?" : "", (int)head->query_len, head->query);
}

static size_t on_body_wanted(char *data, size_t size, size_t count, void *ctx)
{
	struct call *call = ctx;
	size_t room = size * count, len = call->body.len < room ? call->body.len : room;
	if (call->refusal_status != 0)
		return CURL_READFUNC_ABORT;
	if (len == 0 && !call->body_done) {
		call->upload_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	if (len > 0)
		memcpy(data, call->body.data, len);
	buffer_consume(&call->body, len);
	call->given = call->body_done && call->body.len == 0;
	proxy_is_active(call->connection->proxy);
	connection_due_in(call->connection, call->connection->proxy->options.idle_ms);
	return len;
}

/* ---- the answer's head */

static bool line_is(const char *line, size_t len, const char *name, const char **ret_value, size_t *ret_value_len)
{
	size_t name_len = strlen(name);
	if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
		return false;
	line += name_len + 1;
	len -= name_len + 1;
	for (; len > 0 && (*line == ' ' || *line == '\t'); line++)
		len--;
	*ret_value = line;
	*ret_value_len = len;
	return true;
}

static void take_header(struct call *call, const char *line, size_t len)
{
	const char *value;
	size_t value_len;
	struct error err = ERROR_INIT;
	if (line_is(line, len, "content-length", &value, &value_len) &&
		str_parse_int(value, value_len, 0, INT64_MAX, &call->content_length, &err) < 0)
		call->content_length = -1;
	if (line_is(line, len, "content-type", &value, &value_len))
		(void)snprintf(call->content_type, sizeof(call->content_type), "%.*s", (int)value_len, value);
	const char *colon = memchr(line, ':', len);
	if (colon == NULL || !model_header_returns(line, (size_t)(colon - line)) ||
		memmem(line, len, call->key, strlen(call->key)) != NULL)
		return;
	(void)buffer_append(&call->head, line, len); /* on_header looks at the whole length */
	(void)buffer_append(&call->head, "\r\n", 2); /* as above */
}

static bool has_body(const struct call *call)
{
	return !call->is_head && call->status != 204 && call->status != 304;
}

static bool is_chunked(const struct call *call)
{
	return call->content_length < 0 && has_body(call);
}

static void send_head(struct call *call)
{
	struct connection *connection = call->connection;
	struct buffer *out = &connection->out;
	call->first_byte_us = clock_boot_us();
	usage_reader_init(&call->usage, connection->proxy->options.api.protocol, call->content_type);
	(void)buffer_appendf(out, "HTTP/1.1 %d Model API\r\n", call->status); /* room: on_header has looked */
	if (call->head.len > 0)
		(void)buffer_append(out, call->head.data, call->head.len); /* as above */
	if (is_chunked(call))
		(void)buffer_append_str(out, "Transfer-Encoding: chunked\r\n"); /* as above */
	else if (call->content_length >= 0)
		(void)buffer_appendf(out, "Content-Length: %lld\r\n", (long long)call->content_length);  /* as above */
	(void)buffer_append_str(out, connection->keep_alive ? "\r\n" : "Connection: close\r\n\r\n"); /* as above */
	CHECK(buffer_ok(out));
	call->head_sent = true;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
	struct call *call = ctx;
	size_t len = size * count, text_len = len;
	long status = 0;
	if (call->head_sent) /* a trailer */
		return len;
	while (text_len > 0 && (data[text_len - 1] == '\n' || data[text_len - 1] == '\r'))
		text_len--;
	if (text_len > 0) {
		if (text_len > 5 && memcmp(data, "HTTP/", 5) == 0) { /* begins another answer (100, then 200) */
			buffer_clear(&call->head);
			call->content_length = -1;
			call->content_type[0] = '\0';
		} else {
			take_header(call, data, text_len);
		}
		return buffer_ok(&call->head) ? len : 0;
	}
	CHECK(curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
	if (status < 200)
		return len;
	if (status >= 300 && status < 400) {
		call_refuse(call, 502, "Kiln: the model's API answers with a redirect (%ld), which is not followed", status);
		return 0;
	}
	call->status = (int)status;
	send_head(call);
	return len;
}

/* ---- the answer's body */

/* What was held back and what has come, without the key, as a chunk when there are chunks. */
static void pass_on(struct call *call, const char *data, size_t len, bool last)
{
	struct buffer *out = &call->connection->out;
	bool chunked = is_chunked(call);
	size_t start = out->len;
	if (chunked)
		(void)buffer_append(out, CHUNK_HEAD, CHUNK_HEAD_LEN); /* room: on_answer has looked */
	size_t from = out->len;
	if (call->held_len > 0)
		(void)buffer_append(out, call->held, call->held_len); /* as above */
	if (len > 0)
		(void)buffer_append(out, data, len); /* as above */
	CHECK(buffer_ok(out));
	if (out->len == from) {
		buffer_truncate(out, start);
		return;
	}
	size_t held = model_key_hide(call->key, out->data + from, out->len - from);
	call->held_len = last ? 0 : held;
	memcpy(call->held, out->data + out->len - call->held_len, call->held_len);
	buffer_truncate(out, out->len - call->held_len);
	if (out->len == from) {
		buffer_truncate(out, start);
	} else if (chunked) {
		char digits[CHUNK_HEAD_LEN + 1];
		(void)snprintf(digits, sizeof(digits), "%08x\r\n", (unsigned)(out->len - from));
		memcpy(out->data + start, digits, CHUNK_HEAD_LEN);
		(void)buffer_append(out, "\r\n", 2); /* as above */
	}
}

static size_t on_answer(char *data, size_t size, size_t count, void *ctx)
{
	struct call *call = ctx;
	struct connection *connection = call->connection;
	size_t len = size * count;
	if (connection->dead || !call->head_sent)
		return CURL_WRITEFUNC_ERROR;
	if (!connection_has_room(connection)) {
		call->answer_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (call->admitted)
		usage_reader_add(&call->usage, data, len);
	pass_on(call, data, len, false);
	proxy_is_active(connection->proxy);
	connection_due_in(connection, connection->proxy->options.idle_ms);
	if (connection->out.len >= WRITE_BYTES) /* less is written when libcurl has nothing more now */
		connection_write(connection);
	return len;
}

/* ---- from beginning to end */

static void set_method(struct call *call, const struct request_head *head)
{
	CURL *easy = call->easy;
	if (str_equal(call->route->method, "GET"))
		return;
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)head->body_bytes);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_wanted);
	curl_easy_setopt(easy, CURLOPT_READDATA, call);
}

void upstream_start(struct call *call, const struct request_head *head)
{
	struct model_proxy *proxy = call->connection->proxy;
	CURL *easy = curl_easy_init();
	CHECK(easy != NULL);
	call->easy = easy;
	call->held = xmalloc(strlen(call->key));
	buffer_init(&call->head, HEAD_MAX_BYTES);
	set_url(call, head);
	set_headers(call, head);
	http_easy_basics(easy);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_message);
	curl_easy_setopt(easy, CURLOPT_URL, call->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	set_method(call, head);
	CHECK(curl_multi_add_handle(proxy->multi, easy) == CURLM_OK);
}

void upstream_wake(struct call *call)
{
	bool more = call->upload_paused && (call->body.len > 0 || call->body_done);
	bool room = call->answer_paused && connection_has_room(call->connection);
	if (call->easy == NULL || call->refusal_status != 0 || (!more && !room))
		return;
	/* What stays paused says so again: the callbacks are asked anew. */
	call->upload_paused = call->answer_paused = false;
	(void)curl_easy_pause(call->easy, CURLPAUSE_CONT); /* what fails now fails for good, and is told by its end */
}

void upstream_cut(struct call *call)
{
	if (call->easy == NULL)
		return;
	(void)curl_multi_remove_handle(call->connection->proxy->multi, call->easy); /* it is there */
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	free_headers(call);
	buffer_clear(&call->body); /* what still comes of it is thrown away */
	call->upstream_ended = true;
}

void upstream_done(struct call *call, CURLcode code)
{
	struct connection *connection = call->connection;
	const char *why = call->curl_message[0] != '\0' ? call->curl_message : curl_easy_strerror(code);
	upstream_cut(call);
	if (code == CURLE_OK && call->head_sent) {
		pass_on(call, NULL, 0, true);
		if (is_chunked(call))
			(void)buffer_append_str(&connection->out, "0\r\n\r\n"); /* room: beyond what on_answer takes */
		CHECK(buffer_ok(&connection->out));
		call_end(call, NULL);
		connection_write(connection);
	} else if (call->head_sent) {
		call_end(call, why);
		connection->finishing = true; /* without the end of the body: so the agent sees that it was cut */
	} else {
		call_refuse(call, code == CURLE_OPERATION_TIMEDOUT ? 504 : 502, "Kiln: the model's API cannot be reached: %s",
					why);
	}
}
