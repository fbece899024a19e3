#include "api-gateway/builds/accept.h"

#include "api-gateway/builds/build_id.h"
#include "api-gateway/builds/build_wait.h"
#include "api-gateway/callers/caches.h"
#include "api-gateway/requests/fill.h"
#include "api-gateway/handlers.h"
#include "api-gateway/builds/keyed_post.h"
#include "api-gateway/builds/own_records.h"
#include "api-gateway/requests/record_send.h"
#include "api-gateway/builds/request_key.h"
#include "api-gateway/requests/loop.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/str.h"
#include "common/json/json_pool.h"
#include "common/kafka/topics.h"

static struct metric accepted_total = {
	.kind = METRIC_COUNTER, .name = "kiln_builds_accepted_total", .help = "Builds answered with 202."};

void accept_start(struct gateway *gateway)
{
	metric_register(&accepted_total);
	list_init(&gateway->acknowledged);
}

int accept_make_id(struct request *request, const char *route, const char *scope, const uint8_t random[8],
				   char ret[UUID_TEXT_SIZE])
{
	if (request->idempotency_key.data == NULL) {
		build_id_new(random, ret);
		return 0;
	}
	char key[IDEMPOTENCY_KEY_MAX + 1];
	const uint8_t *secret;
	size_t secret_len;
	if (request_key(request, key, &secret, &secret_len) < 0)
		return -1;
	idempotency_build_id(secret, secret_len, request->token->id, route, scope, key, ret);
	return 0;
}

#define LINK_MAX 64

/* "/builds/ID" and what follows; an id has 36 characters. */
static size_t link_to(const char *build_id, const char *rest, size_t rest_len, char ret[LINK_MAX])
{
	static const char prefix[] = "/builds/";
	const size_t prefix_len = sizeof(prefix) - 1, id_len = UUID_TEXT_SIZE - 1;
	CHECK(prefix_len + id_len + rest_len < LINK_MAX);
	memcpy(ret, prefix, prefix_len);
	memcpy(ret + prefix_len, build_id, id_len);
	memcpy(ret + prefix_len + id_len, rest, rest_len);
	return prefix_len + id_len + rest_len;
}

void accept_write_links(struct json_writer *w, struct answer *answer, const char *build_id, const char *status)
{
	char link[LINK_MAX];
	json_string_len(w, "task_id", build_id, UUID_TEXT_SIZE - 1);
	json_string(w, "status", status);
	json_object_begin(w, "links");
	size_t len = link_to(build_id, "", 0, link);
	json_string_len(w, "self", link, len);
	answer_field_text(answer, "location", link, len);
	json_string_len(w, "events", link, link_to(build_id, "/events", 7, link));
	json_string_len(w, "logs", link, link_to(build_id, "/logs", 5, link));
	json_object_end(w);
}

int accept_problem(struct request *request, enum error_kind outcome)
{
	switch ((int)outcome) {
	case ERR_INVALID:
		return problem_answer(request, PROBLEM_PAYLOAD_TOO_LARGE, "The build is too large for the event log.");
	case ERR_UNAVAILABLE:
	case ERR_LIMIT:
	case ERR_CANCELLED: /* the client has its answer already (lend.h) */
		return problem_answer(request, PROBLEM_KAFKA_UNAVAILABLE, "Kafka does not answer; nothing was accepted.");
	case ERR_INTERNAL:
		log_error("kafka has no place for a record", "request_id", request->id, NULL);
		return problem_answer(request, PROBLEM_INTERNAL,
							  "The event log is not as it was set up; nothing was accepted.");
	default:
		return problem_answer_unknown(
			request, "The record was handed on to Kafka, and its acknowledgement did not come in time.");
	}
}

static void answer_accepted(struct request *request, struct answer *answer)
{
	struct json_writer w;
	answer_json(answer, 202, &w);
	json_object_begin(&w, NULL);
	accept_write_links(&w, answer, request->build_id, "pending");
	json_object_end(&w);
}

/* False: the answer comes later, for the request prefers to wait for the build. */
static bool answer_or_wait(struct request *request)
{
	metric_add(&accepted_total, 1);
	if (build_wait_begin(request, answer_accepted))
		return false;
	answer_accepted(request, &request->answer);
	return true;
}

/* The loop, when it is known whose record is the first of the key. */
static void answer_confirmed(struct request *request, enum key_verdict verdict)
{
	if (!request->answered) {
		bool made = verdict != KEY_SAME || answer_or_wait(request);
		if (verdict != KEY_SAME)
			(void)keyed_post_problem(request, verdict);
		if (made)
			request_send(request);
	}
	request_unref(request);
}

/* The loop, after the delivery report. */
static void answer_delivered(struct request *request)
{
	if (!request->answered) {
		if (request->delivery == ERR_NONE && request->keyed != NULL) {
			keyed_post_confirm(request, answer_confirmed);
			return;
		}
		bool made = request->delivery != ERR_NONE || answer_or_wait(request);
		if (request->delivery != ERR_NONE)
			(void)accept_problem(request, request->delivery);
		if (made)
			request_send(request);
	}
	request_unref(request);
}

/* The producer's thread, or the loop of another request. */
static void delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct request *request = ctx;
	request->delivery = delivery->outcome;
	if (request->keyed != NULL)
		keyed_post_delivered(request, delivery);
	if (delivery->outcome == ERR_NONE) { /* only the producer's thread says so */
		own_records_add(request->gateway->own, request->build_id, delivery->partition, delivery->offset);
		list_append(&request->gateway->acknowledged, &request->acknowledged);
	} else {
		request_post(request, answer_delivered);
	}
}

/* The producer's thread. Acknowledged together, they are handed on together: a loop that hears of each by itself is
 * woken for each. */
void accept_reported(void *ctx)
{
	struct gateway *gateway = ctx;
	struct list_node *node;
	while ((node = list_pop(&gateway->acknowledged)) != NULL)
		request_post(LIST_ITEM(node, struct request, acknowledged), answer_delivered);
}

/* The key was looked up, and a worker has the request, with its answer (fill.h). */
static void template_late(struct request *request)
{
	struct answer answer;
	answer_init(&answer);
	(void)stage_give_up(&request->stage); /* a look-up has no effect */
	problem_write(&answer, PROBLEM_DATABASE_UNAVAILABLE, request->id, NULL,
				  "The template was not looked up in time; nothing was accepted.");
	request_send_other(request, &answer);
}

/* No report in time: nobody knows. The report is dropped when it comes. */
static void deadline_passed(h2o_timeout_entry_t *entry)
{
	struct request *request = CONTAINER_OF(entry, struct request, deadline);
	if (request->lent) {
		template_late(request);
		return;
	}
	if (request->keyed != NULL && !request->keyed->sent)
		(void)problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE,
							 "The key was not looked up in time; nothing was accepted.");
	else if (request->keyed != NULL && request->keyed->confirmed != NULL)
		(void)keyed_post_problem(request, KEY_UNDECIDED);
	else
		(void)accept_problem(request, ERR_UNKNOWN);
	request_send(request);
	keyed_post_give_up(request);
}

/* One for the look-up of the key and the record. */
static void set_deadline(struct request *request)
{
	if (!h2o_timeout_is_linked(&request->deadline) || request->deadline.cb != deadline_passed)
		request_set_deadline(request, &request->loop->accept_timeout, deadline_passed);
}

/* The record of a build: what both ways of sending it share. `event` and `value` must live as long as the message. */
static struct kafka_message message_of(const struct request *request, const char *build_id, const char *ce_id,
									   const struct buffer *value, struct cloudevent *ret_event)
{
	*ret_event = (struct cloudevent){
		.id = ce_id,
		.type = "build.requested",
		.source = GATEWAY_SOURCE,
		.subject = build_id,
		.traceparent = request->traceparent,
	};
	return (struct kafka_message){
		.topic = TOPIC_BUILD_REQUESTS,
		.partition = -1,
		.key = build_id,
		.key_len = UUID_TEXT_SIZE - 1,
		.data = value->data,
		.data_len = value->len,
		.event = ret_event,
	};
}

static bool produce(struct request *request)
{
	struct bursts_op *op = &request->sending.op;
	uint8_t random[16];
	loop_random(request->loop, random, sizeof(random)); /* uuid_v4 would be a system call */
	uuid_v8(random, request->sending.ce_id);
	op->message =
		message_of(request, request->build_id, request->sending.ce_id, &request->record, &request->sending.event);
	op->message.data_stays = true; /* with the request, by the reference that the report gives back */
	op->done = delivered;
	op->ctx = request;
	struct error err = ERROR_INIT;
	request_ref(request);
	if (bursts_produce(request->gateway->bursts, op, &err) == 0) {
		if (request->keyed != NULL)
			request->keyed->sent = true;
		set_deadline(request);
		return false; /* the answer comes later */
	}
	log_warn("build not produced", "request_id", request->id, "error", err.message, NULL);
	(void)accept_problem(request, err.kind);
	request_unref(request);
	return true;
}

int accept_send(struct request *request, struct db *db, const struct build_request *build, const struct buffer *value)
{
	char ce_id[UUID_TEXT_SIZE];
	uuid_v4(ce_id);
	struct cloudevent event;
	const struct kafka_message message = message_of(request, build->build_id, ce_id, value, &event);
	struct error err = ERROR_INIT;
	struct kafka_delivery place;
	request_set_build(request, build->build_id);
	if (record_send(request, &message, &place, &err) < 0)
		return accept_problem(request, err.kind);
	if (request->idempotency_key.data != NULL) {
		enum key_verdict verdict =
			keyed_post_confirm_waiting(request, db, build->build_id, build->request_hash, &place);
		if (verdict != KEY_SAME)
			return keyed_post_problem(request, verdict);
	}
	metric_add(&accepted_total, 1);
	return 0;
}

/* The project of the path; false: request->answer is made, or (ret_waits) the request comes back. */
static bool find_project(struct request *request, bool *ret_waits)
{
	if (request->project == NULL)
		request->project = caches_project(request->gateway->caches, request->param);
	if (request->project == NULL && (request->filled & FILL_PROJECT) == 0) {
		*ret_waits = true;
		fill_begin(request, FILL_PROJECT);
		return false;
	}
	if (request->project != NULL && api_token_sees_project(request->token, request->project->name))
		return true;
	(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no project \"%s\".", request->param);
	return false;
}

/* The template that the spec names, if any; false: the request comes back. */
static bool find_template(struct request *request, const struct spec *spec)
{
	const char *reference = build_request_template(spec);
	if (reference == NULL || strlen(reference) >= sizeof(request->template_ref))
		return true;
	if (request->template == NULL)
		request->template = caches_template(request->gateway->caches, reference);
	if (request->template != NULL || (request->filled & FILL_TEMPLATE) != 0)
		return true;
	memcpy(request->template_ref, reference, strlen(reference) + 1);
	fill_begin(request, FILL_TEMPLATE);
	return false;
}

/* Everything between the schema, whose problems are there already, and the record. False: request->answer is made. */
static bool prepare(struct request *request, struct build_request *build, struct schema_problems *problems)
{
	struct buffer *prompt = &request->loop->scratch;
	int priority;
	build_request_check(build, problems);
	build_request_render(build, prompt, problems);
	if (problems->len > 0) {
		(void)problem_answer_errors(request, PROBLEM_VALIDATION_FAILED, problems);
		return false;
	}
	if (!build_request_priority(build, &priority)) {
		(void)problem_answer(request, PROBLEM_FORBIDDEN, "The token's highest priority is %d.",
							 build->token->max_priority);
		return false;
	}
	build_request_write(build, prompt, &request->record);
	return true;
}

/* Of a body that the schema refuses no build was ever made: it is not written in its canonical form, which may take
 * seconds for a megabyte of numbers, and its hash (zeros) is no other's. */
static void hash_body(struct request *request, const cJSON *body, bool fine, struct build_request *build)
{
	if (request->keyed != NULL) /* it comes back with its key's answer */
		memcpy(build->request_hash, request->keyed->hash, sizeof(build->request_hash));
	else if (fine)
		build_request_hash(body, &request->loop->scratch, build->request_hash);
}

/* A key that stands for a build already is answered here, whatever else would be said of the body today. False: as
 * find_project. */
static bool check_key(struct request *request, struct build_request *build, bool *ret_waits)
{
	enum key_verdict verdict;
	if (keyed_post_begin(request, build->build_id, build->request_hash, ret_waits, &verdict) < 0)
		return false;
	if (*ret_waits) {
		set_deadline(request);
		return false;
	}
	if (verdict == KEY_SAME)
		*ret_waits = !answer_or_wait(request);
	else if (verdict == KEY_OTHER)
		(void)keyed_post_problem(request, verdict);
	else
		return true;
	return false;
}

static int read_body(struct request *request, cJSON **ret_body)
{
	json_pool_open(request->loop->trees);
	int rc = request_read_json(request, false, ret_body);
	json_pool_close(request->loop->trees);
	return rc;
}

/* As build_accept; `problems` are the schema's with the body. */
static bool accept_checked(struct request *request, const cJSON *body, struct schema_problems *problems)
{
	bool waits = false;
	struct build_request build = {
		.gateway = request->gateway, .request = request, .token = request->token, .pointer = ""};
	uint8_t random[8];
	loop_random(request->loop, random, sizeof(random)); /* random_bytes would be a system call */
	if (accept_make_id(request, ACCEPT_ROUTE_BUILDS, request->project->id, random, build.build_id) < 0)
		return true;
	request_set_build(request, build.build_id);
	if (request->idempotency_key.data != NULL) {
		hash_body(request, body, problems->len == 0, &build);
		if (!check_key(request, &build, &waits))
			return !waits;
	}
	spec_find(body, &build.spec);
	if (!find_template(request, &build.spec))
		return false;
	build.project = request->project;
	build.template = request->template;
	build.provisional = request->project->provisional;
	if (!prepare(request, &build, problems))
		return true;
	return produce(request);
}

/* As build_accept, once the project is known. */
static bool accept_body(struct request *request)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	if (read_body(request, &body) < 0)
		return true;
	struct schema_problems problems = {0};
	/* What it finds is looked at later. */
	(void)schema_validate(request->gateway->bodies.build_spec, body, &problems);
	bool made = accept_checked(request, body, &problems);
	if (problems.len > 0) /* it is large: most requests need not clear it */
		schema_problems_release(&problems);
	return made;
}

bool build_accept(struct request *request)
{
	bool waits = false;
	if (!find_project(request, &waits))
		return !waits;
	bool made = accept_body(request);
	json_pool_empty(request->loop->trees);
	return made;
}
