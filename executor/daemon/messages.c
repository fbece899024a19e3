#include "executor/daemon/messages.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"
#include "executor/agents/offers.h"

#define MAX_MESSAGE_BYTES KAFKA_MAX_MESSAGE_BYTES

static void write_time(struct json_writer *w)
{
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	json_string(w, "time", time);
}

/* A message under construction. */
struct draft {
	struct buffer text;
	struct json_writer w;
};

static void draft_begin(struct draft *draft, const struct daemon *daemon, const struct fencing_token *token)
{
	buffer_init(&draft->text, MAX_MESSAGE_BYTES);
	json_writer_init(&draft->w, &draft->text);
	json_object_begin(&draft->w, NULL);
	worker_identity_write(&draft->w, &daemon->identity);
	if (token != NULL)
		fencing_token_write(&draft->w, token);
}

static struct sent draft_end(struct draft *draft, enum sent_kind kind, const char *topic, const char *type,
							 const char *key)
{
	write_time(&draft->w);
	json_object_end(&draft->w);
	CHECK(buffer_ok(&draft->text));
	struct sent sent = {.kind = kind, .topic = topic, .type = type};
	(void)snprintf(sent.key, sizeof(sent.key), "%s", key);
	sent.data = buffer_detach(&draft->text, &sent.len);
	return sent;
}

/* What is said of an attempt is part of its assignment's trace. */
static void join_trace(struct sent *sent, const char *traceparent)
{
	(void)snprintf(sent->traceparent, sizeof(sent->traceparent), "%s", traceparent); /* it is as long */
}

void messages_accepted(struct daemon *daemon, const struct held *held)
{
	struct draft draft;
	draft_begin(&draft, daemon, &held->token);
	struct sent sent = draft_end(&draft, SENT_PLAIN, TOPIC_BUILD_RESULTS, "attempt.accepted", held->token.build_id);
	join_trace(&sent, held->traceparent);
	sent.patient = true;
	sender_send(&daemon->sender, sent);
}

void messages_phase(struct daemon *daemon, const struct held *held, const cJSON *phase, uint64_t frame_id)
{
	struct draft draft;
	draft_begin(&draft, daemon, &held->token);
	json_string(&draft.w, "phase", json_get_string(phase, "phase"));
	json_string(&draft.w, "base_sha", json_get_string(phase, "base_sha"));
	json_string(&draft.w, "branch", json_get_string(phase, "branch"));
	json_string(&draft.w, "commit_sha", json_get_string(phase, "commit_sha"));
	if (json_get_string(phase, "sandbox") != NULL)
		json_string(&draft.w, "sandbox", json_get_string(phase, "sandbox"));
	if (json_get_string(phase, "continued") != NULL)
		json_string(&draft.w, "continued", json_get_string(phase, "continued"));
	struct sent sent = draft_end(&draft, SENT_FRAME, TOPIC_BUILD_RESULTS, "attempt.phase", held->token.build_id);
	join_trace(&sent, held->traceparent);
	sent.serial = held->serial;
	sent.frame_id = frame_id;
	sent.patient = json_get_string(phase, "commit_sha") == NULL; /* else a push waits for it */
	sender_send(&daemon->sender, sent);
}

void messages_log(struct daemon *daemon, const struct held *held, const struct frame *frame)
{
	struct sent sent = {.kind = SENT_FRAME,
						.serial = held->serial,
						.frame_id = frame->id,
						.topic = TOPIC_BUILD_LOGS,
						.type = "build.log",
						.data = xmemdup(frame->data, frame->len),
						.len = frame->len};
	join_trace(&sent, held->traceparent);
	(void)snprintf(sent.key, sizeof(sent.key), "%s", held->token.build_id);
	sender_send(&daemon->sender, sent);
}

void messages_worker(struct daemon *daemon, const char *type, enum sent_kind kind)
{
	struct draft draft;
	draft_begin(&draft, daemon, NULL);
	sender_send(&daemon->sender, draft_end(&draft, kind, TOPIC_WORKER_EVENTS, type, daemon->identity.worker_id));
}

void messages_hello(struct daemon *daemon)
{
	struct buffer text;
	buffer_init(&text, MAX_MESSAGE_BYTES);
	struct sent sent = {
		.kind = SENT_HELLO, .topic = TOPIC_WORKER_EVENTS, .type = "worker.hello", .created_ms = clock_boot_ms()};
	(void)snprintf(sent.key, sizeof(sent.key), "%s", daemon->identity.worker_id);
	messages_write_state(daemon, &text);
	sent.data = buffer_detach(&text, &sent.len);
	sender_send(&daemon->sender, sent);
}

void messages_finished(struct daemon *daemon, struct reported_item *item, const struct reported_text *text)
{
	struct sent sent = {.kind = SENT_RESULT,
						.topic = TOPIC_BUILD_RESULTS,
						.type = "attempt.finished",
						.data = xstrdup(text->finished),
						.len = strlen(text->finished)};
	join_trace(&sent, text->traceparent);
	(void)snprintf(sent.key, sizeof(sent.key), "%s", item->token.build_id);
	(void)snprintf(sent.id, sizeof(sent.id), "%s", text->id);
	reported_sent(item, text->id);
	sender_send(&daemon->sender, sent);
}

void messages_write_finished(struct daemon *daemon, const struct fencing_token *token, const cJSON *end,
							 struct buffer *out)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	worker_identity_write(&w, &daemon->identity);
	fencing_token_write(&w, token);
	json_string(&w, "outcome", json_get_string(end, "outcome"));
	json_bool(&w, "published", json_get_bool(end, "published", false));
	json_bool(&w, "closed", json_get_bool(end, "closed", false));
	json_bool(&w, "retryable", json_get_bool(end, "retryable", false));
	json_tree(&w, "result", json_get(end, "result"));
	write_time(&w);
	json_object_end(&w);
}

static void write_strings(struct json_writer *w, const char *key, char *const *strings)
{
	json_array_begin(w, key);
	for (size_t i = 0; strings[i] != NULL; i++)
		json_string(w, NULL, strings[i]);
	json_array_end(w);
}

static void write_held(struct json_writer *w, const struct held *held)
{
	json_object_begin(w, NULL);
	fencing_token_write(w, &held->token);
	json_object_end(w);
}

static void write_reported(struct json_writer *w, const struct reported_item *item)
{
	json_object_begin(w, NULL);
	fencing_token_write(w, &item->token);
	json_bool(w, "acknowledged", item->acknowledged);
	json_object_end(w);
}

void messages_write_state(struct daemon *daemon, struct buffer *out)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	worker_identity_write(&w, &daemon->identity);
	json_string(&w, "hostname", daemon->hostname);
	json_string(&w, "version", kiln_version);
	json_int(&w, "slots", daemon->config->slots);
	write_strings(&w, "labels", daemon->config->labels);
	agent_offers_write(&w, &daemon->offers);
	json_string(&w, "sandbox", daemon->config->sandbox);
	json_int(&w, "partition", assignments_partition(daemon->assignments));
	json_int(&w, "read_offset", daemon->read_offset > 0 ? daemon->read_offset : 0);
	json_array_begin(&w, "held");
	LIST_FOR_EACH (node, &daemon->held) {
		const struct held *held = LIST_ITEM(node, struct held, node);
		if (!held->tidy) /* also what is being killed: its processes may run */
			write_held(&w, held);
	}
	json_array_end(&w);
	json_array_begin(&w, "reported");
	for (size_t i = 0; i < daemon->reported.len; i++)
		write_reported(&w, &daemon->reported.items[i]);
	json_array_end(&w);
	json_bool(&w, "draining", daemon->draining);
	write_time(&w);
	json_object_end(&w);
	CHECK(buffer_ok(out));
}
