#include "api-gateway/requests/request.h"

#include <h2o/http1.h>

#include "api-gateway/http/cors.h"
#include "api-gateway/http/fields.h"
#include "api-gateway/http/negotiate.h"
#include "api-gateway/callers/rate_limit.h"
#include "api-gateway/routes.h"
#include "api-gateway/requests/loop.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/str.h"

#define STATUS_CLASSES 4
#define SPARE_REQUESTS 256 /* of a loop */
#define SPARE_BUFFER_BYTES 4096
#define RECORD_MAX_BYTES ((size_t)16 * 1024 * 1024) /* more than Kafka takes */
#define STATUS_CLIENT_GONE 499                      /* in the log only: nobody got an answer */

static struct metric requests_total[STATUS_CLASSES] = {
	{.kind = METRIC_COUNTER,
	 .name = "kiln_http_requests_total",
	 .help = "Answered requests.",
	 .labels = "class=\"2xx\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_http_requests_total",
	 .help = "Answered requests.",
	 .labels = "class=\"3xx\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_http_requests_total",
	 .help = "Answered requests.",
	 .labels = "class=\"4xx\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_http_requests_total",
	 .help = "Answered requests.",
	 .labels = "class=\"5xx\""},
};
static struct metric request_seconds = {.kind = METRIC_HISTOGRAM,
										.name = "kiln_http_request_duration_seconds",
										.help = "From a request's arrival to its answer."};

void requests_register_metrics(void)
{
	for (size_t i = 0; i < STATUS_CLASSES; i++)
		metric_register(&requests_total[i]);
	metric_register(&request_seconds);
}

/* What h2o's pool holds of us. */
struct pool_link {
	struct request *request;
};

/* NULL: none that is known. A deadline, or a client that goes, ends a request while somebody works on it. */
static const char *build_of(const struct request *request)
{
	if (!request->lent)
		return request->build_id[0] != '\0' ? request->build_id : NULL;
	bool names_build = str_starts(request->route->pattern, "/builds/");
	return names_build && uuid_is_valid(request->param, strlen(request->param)) ? request->param : NULL;
}

static void log_request(struct request *request)
{
	const h2o_req_t *h2o = request->h2o;
	int64_t duration_us = clock_boot_us() - request->started_us;
	int status = request->answered ? h2o->res.status : STATUS_CLIENT_GONE;
	metric_add(&requests_total[status / 100 - 2], 1);
	if (!request->waited)
		metric_observe_us(&request_seconds, duration_us);
	access_log_line(request->loop->log, &(struct access_line){
											.method = h2o->input.method.base,
											.method_len = h2o->input.method.len,
											.path = h2o->input.path.base,
											.path_len = h2o->input.path.len,
											.status = status,
											.bytes = h2o->bytes_sent,
											.duration_us = duration_us,
											.address = request->client.text,
											.request_id = request->id,
											.trace_id = request->traceparent + 3,
											.token_id = request->token != NULL ? request->token->id : NULL,
											.build_id = build_of(request),
										});
}

/* h2o is done with its request: answered, or the client has gone. Its struct is still whole here, the pool is not. */
static void pool_disposed(void *data)
{
	struct request *request = ((struct pool_link *)data)->request;
	log_request(request);
	h2o_timeout_unlink(&request->deadline);
	request->h2o = NULL;
	request_unref(request);
}

void request_set_build(struct request *request, const char *build_id)
{
	if (strcmp(request->build_id, build_id) != 0)
		memcpy(request->build_id, build_id, sizeof(request->build_id));
}

/* The client's own id when it gave a sane one, else the trace's. */
static void take_ids(struct request *request)
{
	uint8_t random[24];
	loop_random(request->loop, random, sizeof(random));
	struct slice trace = field_by_name(request->h2o, "traceparent");
	traceparent_continue(trace.data, trace.len, random, request->traceparent);
	struct slice id = field_by_name(request->h2o, "x-request-id");
	if (!request_id_is_valid(id.data, id.len))
		id = (struct slice){request->traceparent + 3, TRACE_ID_LEN};
	memcpy(request->id, id.data, id.len);
	request->id[id.len] = '\0';
}

/* A request that ended leaves its struct, and the memory of its answer and record, to a later one of its loop. */
static struct request *take_spare(struct loop *loop)
{
	struct request *request = loop->spare;
	if (request == NULL) {
		request = xmalloc(sizeof(*request));
		answer_init(&request->answer);
		buffer_init(&request->record, RECORD_MAX_BYTES);
		return request;
	}
	loop->spare = request->next_spare;
	loop->spare_len--;
	return request;
}

static void give_spare(struct request *request)
{
	struct loop *loop = request->loop;
	if (loop->spare_len == SPARE_REQUESTS || request->answer.body.size > SPARE_BUFFER_BYTES ||
		request->record.size > SPARE_BUFFER_BYTES) {
		answer_release(&request->answer);
		buffer_release(&request->record);
		free(request);
		return;
	}
	answer_clear(&request->answer);
	request->next_spare = loop->spare;
	loop->spare = request;
	loop->spare_len++;
}

struct request *request_new(struct loop *loop, h2o_req_t *h2o)
{
	struct request *request = take_spare(loop);
	memset(request, 0, offsetof(struct request, answer));
	request->started_us = clock_boot_us();
	request->gateway = loop->gateway;
	request->loop = loop;
	request->h2o = h2o;
	request->refs = 1;
	request->is_head = h2o_memis(h2o->input.method.base, h2o->input.method.len, H2O_STRLIT("HEAD"));
	take_ids(request);
	client_address_find(request);
	struct pool_link *link = h2o_mem_alloc_shared(&h2o->pool, sizeof(*link), pool_disposed);
	link->request = request;
	return request;
}

void request_ref(struct request *request)
{
	request->refs++;
}

void request_unref(struct request *request)
{
	if (--request->refs > 0)
		return;
	if (request->responder != NULL)
		request->responder->release(request);
	api_token_unref(request->token);
	project_unref(request->project);
	template_unref(request->template);
	free(request->keyed);
	query_release(&request->query);
	free(request->copies);
	give_spare(request);
}

static void move_slice(struct slice *slice, char **at)
{
	if (slice->data == NULL)
		return;
	memcpy(*at, slice->data, slice->len);
	(*at)[slice->len] = '\0';
	slice->data = *at;
	*at += slice->len + 1;
}

void request_detach(struct request *request)
{
	if (request->copies != NULL)
		return;
	struct slice *slices[] = {&request->body,          &request->content_type,  &request->content_encoding,
							  &request->if_match,      &request->if_none_match, &request->idempotency_key,
							  &request->last_event_id, &request->rest,          &request->range,
							  &request->if_range};
	size_t size = 1;
	for (size_t i = 0; i < ARRAY_LEN(slices); i++)
		size += slices[i]->len + 1;
	request->copies = xmalloc(size);
	char *at = request->copies;
	for (size_t i = 0; i < ARRAY_LEN(slices); i++)
		move_slice(slices[i], &at);
}

void request_post(struct request *request, void (*on_loop)(struct request *request))
{
	request->on_loop = on_loop;
	h2o_multithread_send_message(&request->loop->requests, &request->message);
}

void request_again(struct request *request)
{
	if (request->h2o != NULL)
		request->again(request);
}

static void add_head(struct request *request, const struct answer *answer)
{
	h2o_req_t *h2o = request->h2o;
	CHECK(answer->status >= 200);
	h2o->res.status = answer->status;
	h2o->res.reason = answer_phrase(answer->status);
	h2o_headers_t *headers = &h2o->res.headers;
	if (answer->content_type != NULL)
		h2o_add_header(&h2o->pool, headers, H2O_TOKEN_CONTENT_TYPE, NULL, answer->content_type,
					   strlen(answer->content_type));
	h2o_add_header_by_str(&h2o->pool, headers, H2O_STRLIT("x-request-id"), 0, NULL, request->id, strlen(request->id));
	rate_limit_add_fields(request, answer->retry_after_s);
	bool has_caching = false;
	for (size_t i = 0; i < answer->fields_len; i++) {
		const struct answer_field *field = &answer->fields[i];
		has_caching = has_caching || str_equal(field->name, "cache-control");
		h2o_add_header_by_str(&h2o->pool, headers, field->name, strlen(field->name), 1, NULL, field->value,
							  field->value_len);
	}
	if (!has_caching)
		h2o_add_header(&h2o->pool, headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
	cors_add_head(request);
}

static void on_unwritten(h2o_timeout_entry_t *entry)
{
	connection_reset(CONTAINER_OF(entry, struct request, deadline)->h2o);
}

void request_watch_writing(struct request *request)
{
	request_set_deadline(request, &request->loop->connections.write_timeout, on_unwritten);
}

static void send_answer(struct request *request, struct answer *answer)
{
	static h2o_generator_t generator = {NULL, NULL};
	h2o_req_t *h2o = request->h2o;
	if (!buffer_ok(&answer->body))
		problem_write(answer, PROBLEM_INTERNAL, request->id, NULL, "The answer is too large.");
	add_head(request, answer);
	if (answer->content_type != NULL)
		h2o->res.content_length = answer->body.len;
	h2o_start_response(h2o, &generator);
	/* The body lives in the request, which lives as long as h2o's pool. */
	h2o_iovec_t body = {answer->body.data, answer->body.len};
	bool has_body = answer->content_type != NULL && !request->is_head && body.len > 0;
	h2o_send(h2o, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}

void request_send(struct request *request)
{
	if (request->answered || request->h2o == NULL)
		return;
	request->answered = true;
	request_watch_writing(request);
	send_answer(request, &request->answer);
}

void request_begin(struct request *request, size_t length, h2o_generator_t *generator)
{
	request->answered = true;
	request_watch_writing(request);
	add_head(request, &request->answer);
	request->h2o->res.content_length = length;
	h2o_start_response(request->h2o, generator);
}

void request_upgrade(struct request *request, h2o_iovec_t first,
					 void (*done)(void *data, h2o_socket_t *sock, size_t size), void *data)
{
	h2o_req_t *h2o = request->h2o;
	request->answered = true;
	request_watch_writing(request);
	add_head(request, &request->answer);
	/* h2o says "upgrade"; this is what is meant. The body ends with the connection. */
	h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, H2O_STRLIT("connection"), 0, NULL, H2O_STRLIT("close"));
	h2o_http1_upgrade(h2o, &first, 1, done, data);
}

/* h2o's pool takes the answer over. */
static void other_disposed(void *data)
{
	answer_release(data);
}

void request_send_other(struct request *request, struct answer *answer)
{
	if (request->answered || request->h2o == NULL) {
		answer_release(answer);
		return;
	}
	request->answered = true;
	request_watch_writing(request);
	struct answer *kept = h2o_mem_alloc_shared(&request->h2o->pool, sizeof(*kept), other_disposed);
	*kept = *answer;
	for (size_t i = 0; i < kept->fields_len; i++) /* values lie in the struct itself */
		kept->fields[i].value = kept->text + (answer->fields[i].value - answer->text);
	send_answer(request, kept);
}

void request_set_deadline(struct request *request, h2o_timeout_t *timeout, h2o_timeout_cb expired)
{
	h2o_timeout_unlink(&request->deadline);
	request->deadline.cb = expired;
	h2o_timeout_link(request->loop->ctx.loop, timeout, &request->deadline);
}

int request_read_json(struct request *request, bool merge_patch, cJSON **ret_tree)
{
	if (request->content_encoding.data != NULL &&
		!(request->content_encoding.len == 8 && strncasecmp(request->content_encoding.data, "identity", 8) == 0))
		return problem_answer(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "A content coding of the body is not taken.");
	const struct slice *type = &request->content_type;
	if (!negotiate_is_type(type->data, type->len, "application/json") &&
		!(merge_patch && negotiate_is_type(type->data, type->len, "application/merge-patch+json")))
		return problem_answer(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "The body must be application/json%s in UTF-8.",
							  merge_patch ? " or application/merge-patch+json" : "");
	if (request->body.len == 0)
		return problem_answer(request, PROBLEM_INVALID_JSON, "The body is empty.");
	struct error err = ERROR_INIT;
	if (json_parse(request->body.data, request->body.len, ret_tree, &err) < 0)
		return problem_answer(request, PROBLEM_INVALID_JSON, "%s.", err.message);
	return 0;
}
