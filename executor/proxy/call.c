/* One request of the agent's: what is let through, what becomes of it, what the log says. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "executor/proxy/inside.h"
#include "executor/proxy/key.h"

#define BODY_HIGH_BYTES ((size_t)64 * 1024) /* waiting for libcurl: no more is read from the agent */
#define BODY_MAX_BYTES (BODY_HIGH_BYTES + REQUEST_HEAD_MAX_BYTES)
#define REQUEST_MAX_BYTES (INT64_C(64) << 20)
#define US_A_SECOND 1e6

enum key { KEY_MODEL, KEY_STREAM, KEY_STREAM_OPTIONS };
static const struct json_scan_key keys[] = {
	[KEY_MODEL] = {"model", MODEL_NAME_BYTES + 2},
	[KEY_STREAM] = {"stream", 16},
	[KEY_STREAM_OPTIONS] = {"stream_options", 1024},
};

void call_refuse(struct call *call, int status, const char *format, ...)
{
	if (call->refusal_status != 0)
		return;
	call->refusal_status = status;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(call->refusal, sizeof(call->refusal), format, args);
	va_end(args);
	buffer_clear(&call->body); /* libcurl gets no more of it */
}

/* ---- the head */

static bool is_token(const struct call *call, const struct phr_header *header, const char *scheme)
{
	const char *token = call->connection->proxy->token;
	size_t scheme_len = strlen(scheme), len = strlen(token);
	return header != NULL && header->value_len == scheme_len + len && strncmp(header->value, scheme, scheme_len) == 0 &&
		   str_equal_constant_time(header->value + scheme_len, token, len);
}

static void admit(struct call *call, const struct request_head *head)
{
	struct model_proxy *proxy = call->connection->proxy;
	enum model_protocol protocol = proxy->options.api.protocol;
	struct error err = ERROR_INIT;
	if (head->path_len > 0 && head->path[0] != '/') {
		call_refuse(call, 403, "Kiln: requests for other servers are not passed on; https:// goes by CONNECT");
		return;
	}
	if (proxy->options.api.base_url == NULL) {
		call_refuse(call, 403, "Kiln: this agent has no model; https:// goes by CONNECT");
		return;
	}
	if (!is_token(call, request_head_find(head, "x-api-key"), "") &&
		!is_token(call, request_head_find(head, "authorization"), "Bearer ")) {
		call_refuse(call, 401, "Kiln: this is not the key that the agent was given");
		return;
	}
	call->route = model_route_find(protocol, head->method, head->method_len, head->path, head->path_len);
	if (call->route == NULL || !model_query_is_plain(head->query, head->query_len)) {
		call->route = NULL;
		call_refuse(call, 403, "Kiln: only the model's API is reached from here, and this is not one of its requests");
		return;
	}
	if (str_equal(call->route->method, "GET") && head->body_bytes != 0) {
		call_refuse(call, 400, "Kiln: a GET has no body");
		return;
	}
	if (call->route->is_generation) {
		if (model_meter_admit(&proxy->meter) != MODEL_WITHIN) {
			call_refuse(call, 400, "Kiln: %s", proxy->meter.why);
			return;
		}
		call->admitted = true;
	} else if (proxy->meter.verdict != MODEL_WITHIN) {
		call_refuse(call, 400, "Kiln: %s", proxy->meter.why);
		return;
	}
	if (model_key_read(proxy->options.api.key_file, &call->key, &err) < 0)
		call_refuse(call, 503, "Kiln: %s", err.message);
}

void call_free(struct call *call)
{
	if (call == NULL)
		return;
	call_end(call, "cut");
	upstream_cut(call);
	json_scan_release(&call->scan);
	buffer_release(&call->body);
	buffer_release(&call->head);
	usage_reader_release(&call->usage);
	free(call->url);
	free(call->held);
	model_key_free(call->key);
	free(call);
}

/* ---- the body */

/* The text of a string that is written without escapes and control characters (it goes into a line of the log): NULL
 * otherwise. */
static const char *plain_string(const struct call *call, enum key key, char *text, size_t size)
{
	size_t len;
	const char *raw = json_scan_value(&call->scan, key, &len);
	if (raw == NULL || len < 3 || len - 2 >= size || raw[0] != '"' || memchr(raw, '\\', len) != NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)raw[i] < ' ')
			return NULL;
	}
	memcpy(text, raw + 1, len - 2);
	text[len - 2] = '\0';
	return text;
}

static bool value_is(const struct call *call, enum key key, const char *text)
{
	size_t len;
	const char *raw = json_scan_value(&call->scan, key, &len);
	return raw != NULL && len == strlen(text) && memcmp(raw, text, len) == 0;
}

static bool includes_usage(const struct call *call)
{
	size_t len;
	const char *raw = json_scan_value(&call->scan, KEY_STREAM_OPTIONS, &len);
	CLEANUP(cJSON_Delete_p) cJSON *options = NULL;
	struct error err = ERROR_INIT;
	return raw != NULL && json_parse(raw, len, &options, &err) == 0 && json_get_bool(options, "include_usage", false);
}

/* All of it is there, but the model's API has not been given the last byte. */
static void check_body(struct call *call)
{
	struct model_proxy *proxy = call->connection->proxy;
	char model[MODEL_NAME_BYTES];
	const char *name = plain_string(call, KEY_MODEL, model, sizeof(model));
	if (call->route == NULL || str_equal(call->route->method, "GET") || call->refusal_status != 0)
		return;
	if (call->scan.none || !call->scan.done)
		call_refuse(call, 400, "Kiln: the request is no JSON object");
	else if (call->scan.odd)
		call_refuse(call, 400, "Kiln: the request has a key twice, or one that is written with escapes");
	/* A way out that nobody has allowed; also to have its tokens counted. */
	else if (call->reach.found)
		call_refuse(call, 400,
					"Kiln: the model is not let to other servers (KILN_MODEL_SERVER_TOOLS): the request has %s",
					call->reach.why);
	else if (!call->route->is_generation)
		return;
	else if (name == NULL)
		call_refuse(call, 400, "Kiln: the request names no model, or not in plain words");
	else if (model_meter_admit_model(&proxy->meter, name) != MODEL_WITHIN)
		call_refuse(call, 400, "Kiln: %s", proxy->meter.why);
	/* Without it a stream of this protocol does not say what it took. */
	else if (proxy->options.api.protocol == MODEL_OPENAI && call->scan.seen[KEY_STREAM] &&
			 !value_is(call, KEY_STREAM, "false") && !includes_usage(call))
		call_refuse(call, 400, "Kiln counts tokens: a stream needs \"stream_options\": {\"include_usage\": true}");
}

struct call *call_new(struct connection *connection, const struct request_head *head)
{
	struct call *call = xcalloc(1, sizeof(*call));
	call->connection = connection;
	call->started_us = clock_boot_us();
	call->body_left = head->body_bytes;
	call->body_done = head->body_bytes == 0;
	call->is_head = head->method_len == 4 && memcmp(head->method, "HEAD", 4) == 0;
	call->content_length = -1;
	(void)snprintf(call->what, sizeof(call->what), "%.*s %.*s", (int)(head->method_len < 16 ? head->method_len : 16),
				   head->method, (int)(head->path_len < 100 ? head->path_len : 100), head->path);
	json_scan_init(&call->scan, keys, ARRAY_LEN(keys));
	reach_reader_init(&call->reach, connection->proxy->options.api.protocol);
	buffer_init(&call->body, BODY_MAX_BYTES);
	admit(call, head);
	if (call->body_done)
		check_body(call);
	if (call->refusal_status == 0) {
		proxy_tell_key(connection->proxy, call->key);
		upstream_start(call, head);
	}
	return call;
}

bool call_wants_body(const struct call *call)
{
	return !call->body_done && call->body.len < BODY_HIGH_BYTES;
}

/* Decoded bytes at the front of `in`. */
static void take(struct call *call, struct buffer *in, size_t len, bool last)
{
	call->request_bytes += (int64_t)len;
	if (call->request_bytes > REQUEST_MAX_BYTES)
		call_refuse(call, 413, "Kiln: the request is longer than 64 MiB");
	json_scan_add(&call->scan, in->data, len);
	if (!call->connection->proxy->options.server_tools)
		reach_reader_add(&call->reach, in->data, len);
	if (call->refusal_status == 0 && !call->upstream_ended)    /* the model may answer before it has read all of it */
		CHECK(buffer_append(&call->body, in->data, len) == 0); /* call_wants_body has seen to the room */
	buffer_consume(in, len);
	if (last) {
		call->body_done = true;
		check_body(call);
	}
	upstream_wake(call);
}

static void take_chunks(struct call *call, struct buffer *in)
{
	size_t decoded = in->len;
	ssize_t rest = phr_decode_chunked(&call->decoder, in->data, &decoded);
	if (rest == -1) {
		call_refuse(call, 400, "Kiln: the request's chunks are broken");
		call->connection->keep_alive = false;
		call->body_done = true;
		buffer_clear(in);
		return;
	}
	buffer_truncate(in, decoded + (rest > 0 ? (size_t)rest : 0));
	take(call, in, decoded, rest >= 0);
}

void call_take_body(struct call *call, struct buffer *in)
{
	if (in->len == 0 || !call_wants_body(call))
		return;
	if (call->body_left < 0) {
		take_chunks(call, in);
		return;
	}
	size_t len = (int64_t)in->len < call->body_left ? in->len : (size_t)call->body_left;
	call->body_left -= (int64_t)len;
	take(call, in, len, call->body_left == 0);
}

/* ---- the end */

static void describe_answer(const struct call *call, const struct model_usage *usage, double cost_usd,
							struct buffer *line)
{
	const char *model = call->usage.model;
	int64_t input = usage->input + usage->cache_write + usage->cache_write_1h;
	(void)buffer_appendf(line, ": %s, %lld in, %lld out, %lld cached", model[0] != '\0' ? model : "?", (long long)input,
						 (long long)usage->output, (long long)usage->cache_read); /* it fits */
	if (cost_usd >= 0)
		(void)buffer_appendf(line, ", USD %.6f", cost_usd); /* as above */
	if (usage->estimated)
		(void)buffer_append_str(line, " (estimated)"); /* as above */
}

void call_end(struct call *call, const char *cut)
{
	struct model_proxy *proxy = call->connection->proxy;
	if (call->ended)
		return;
	call->ended = true;
	CLEANUP(buffer_release_p) struct buffer line;
	buffer_init(&line, MODEL_PROXY_LINE_BYTES);
	int64_t now_us = clock_boot_us();
	bool answered = call->head_sent && call->status >= 200 && call->status < 300;
	/* The model has all of the request and may be at work, paid for, when an agent goes before the first byte. */
	bool left = !call->head_sent && call->given && call->refusal_status == 0;
	int status = call->head_sent ? call->status : call->refusal_status;
	(void)buffer_appendf(&line, "[model API] %s: %d in %.3f s", call->what, status,
						 (double)(now_us - call->started_us) / US_A_SECOND); /* it fits */
	if (call->admitted) {
		char asked[MODEL_NAME_BYTES];
		const char *name = plain_string(call, KEY_MODEL, asked, sizeof(asked));
		struct model_usage usage = {.input = 0};
		if (answered || left)
			usage = usage_reader_end(&call->usage, call->request_bytes);
		double cost_usd =
			model_meter_settle(&proxy->meter, answered || left, name != NULL ? name : "", call->usage.model, &usage);
		if (answered || left)
			describe_answer(call, &usage, cost_usd, &line);
	}
	if (!call->head_sent && call->refusal_status != 0)
		(void)buffer_appendf(&line, ": %s", call->refusal); /* as above */
	else if (cut != NULL)
		(void)buffer_appendf(&line, "; %s", cut); /* as above */
	proxy_tell(proxy, line.data);
}

bool call_is_over(struct call *call)
{
	if (!call->body_done)
		return false;
	if (call->refusal_status == 0)
		return call->upstream_ended;
	upstream_cut(call);
	call_end(call, NULL);
	if (call->head_sent)
		call->connection->dead = true; /* in the middle of an answer there is no other way to say so */
	else
		connection_answer(call->connection, call->refusal_status, call->refusal, call->is_head);
	return true;
}
