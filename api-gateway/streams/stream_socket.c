/*
 * A stream's connection: opening, writing, closing. The socket is h2o's until the head is written; h2o_http1_upgrade
 * gives it to us then, without a request or a pool, so that a quiet stream costs about a kilobyte, and so that a client
 * that leaves is noticed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "api-gateway/config.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/callers/scopes.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/stream_private.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"

#define WRITE_ITEMS 8
#define RECEIVED_MAX ((size_t)65536) /* a client that goes on sending is no reader of events */
#define NOTE_MAX 64
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 1000
#define RETRY_HINT_MIN_MS 1000 /* told at the drain; spread, so that not all come at once */
#define RETRY_HINT_SPREAD_MS 4000

#define ENDS(reason)                                                                                                   \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = "kiln_gateway_stream_ends_total", .help = "Streams that ended, and why.",      \
		.labels = "reason=\"" reason "\""                                                                              \
	}
static const char *const reason_names[] = {"client", "complete", "slow", "revoked", "drain"};
static struct metric ends_total[] = {ENDS("client"), ENDS("complete"), ENDS("slow"), ENDS("revoked"), ENDS("drain")};
static struct metric open_gauge = {.kind = METRIC_GAUGE, .name = "kiln_gateway_streams", .help = "Open streams."};

void stream_register_metrics(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ends_total); i++)
		metric_register(&ends_total[i]);
	metric_register(&open_gauge);
}

void stream_unref(struct stream *stream)
{
	if (--stream->refs > 0)
		return;
	api_token_unref(stream->token);
	free(stream);
}

void stream_close(struct stream *stream, enum stream_end reason)
{
	if (stream->closed)
		return;
	stream->closed = true;
	log_debug("stream.ended", "key", stream->key, "reason", reason_names[reason], NULL);
	metric_add(&ends_total[reason], 1);
	metric_add(&open_gauge, -1);
	stream_hub_remove(stream->hub, stream);
	open_limits_give(stream->hub->shared->limits, stream->token->hash);
	if (stream->sock != NULL)
		h2o_socket_close(stream->sock);
	stream->sock = NULL;
	item_queue_clear(&stream->out);
	buffer_release(&stream->note);
	buffer_release(&stream->page);
	follow_release(&stream->follow);
	stream_unref(stream);
}

static void on_input(h2o_socket_t *sock, const char *err)
{
	struct stream *stream = sock->data;
	stream->received += sock->input->size;
	if (err != NULL || stream->received > RECEIVED_MAX) {
		stream_close(stream, END_CLIENT);
		return;
	}
	h2o_buffer_dispose(&sock->input); /* not kept: it would be most of what a stream takes */
	h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
}

static void on_written(h2o_socket_t *sock, const char *err)
{
	struct stream *stream = sock->data;
	if (err != NULL) {
		stream_close(stream, END_CLIENT);
		return;
	}
	if (stream->writing == WRITING_ITEMS)
		item_queue_drop(&stream->out, stream->writing_items);
	else
		buffer_release(stream->writing == WRITING_NOTE ? &stream->note : &stream->page);
	stream->writing = WRITING_NOTHING;
	stream->writing_items = 0;
	if (!stream->leaving)
		stream_go_on(stream);
	else if (stream->farewell_said)
		stream_close(stream, END_DRAIN);
	else
		stream_farewell(stream);
}

static void write_bufs(struct stream *stream, int what, h2o_iovec_t *bufs, size_t count)
{
	stream->writing = what;
	stream->write_ms = stream->beat_ms = clock_boot_ms();
	h2o_socket_write(stream->sock, bufs, count, on_written);
}

static size_t add_buf(h2o_iovec_t *bufs, size_t count, const char *data, size_t len)
{
	if (len > 0)
		bufs[count++] = h2o_iovec_init(data, len);
	return count;
}

bool stream_write(struct stream *stream)
{
	h2o_iovec_t bufs[2 * WRITE_ITEMS];
	size_t count = 0;
	const struct buffer *first = stream->note.len > 0 ? &stream->note : &stream->page;
	if (first->len > 0) {
		count = add_buf(bufs, 0, first->data, first->len);
		write_bufs(stream, first == &stream->note ? WRITING_NOTE : WRITING_PAGE, bufs, count);
		return true;
	}
	if (stream->out.len == 0)
		return false;
	bool is_feed = stream_is_feed(stream->follow.kind);
	for (; stream->writing_items < stream->out.len && stream->writing_items < WRITE_ITEMS; stream->writing_items++) {
		const struct stream_item *item = stream->out.items[stream->writing_items];
		if (is_feed)
			count = add_buf(bufs, count, item->feed_id.data, item->feed_id.len);
		else
			count = add_buf(bufs, count, item->own_id, strlen(item->own_id));
		count = add_buf(bufs, count, item->body.data, item->body.len);
	}
	write_bufs(stream, WRITING_ITEMS, bufs, count);
	return true;
}

void stream_farewell(struct stream *stream)
{
	stream->leaving = true;
	if (stream->sock != NULL)
		h2o_socket_read_stop(stream->sock); /* the drain shuts every connection's reading side: no client has left */
	if (stream->sock == NULL || stream->writing != WRITING_NOTHING)
		return; /* on_written or opened comes back; one that takes too long is closed by the hub */
	stream->farewell_said = true;
	buffer_release(&stream->note);
	buffer_init(&stream->note, NOTE_MAX);
	(void)buffer_appendf(&stream->note, "retry: %u\n\n",
						 RETRY_HINT_MIN_MS + random_below(RETRY_HINT_SPREAD_MS)); /* there is room */
	(void)stream_write(stream);                                                   /* there is something */
}

/* The head is written. NULL: the client has gone. */
static void opened(void *data, h2o_socket_t *sock, size_t request_size)
{
	(void)request_size;
	struct stream *stream = data;
	if (sock == NULL || stream->closed) {
		if (sock != NULL)
			h2o_socket_close(sock);
		stream_close(stream, END_CLIENT);
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): this reference is not the hub's, which the line above drops */
		stream_unref(stream);
		return;
	}
	stream->sock = sock;
	sock->data = stream;
	connection_taken_over(sock);
	h2o_buffer_dispose(&sock->input);
	h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
	int bytes = (int)stream->hub->loop->gateway->config->stream_buffer_bytes;
	/* What a slow reader leaves in the kernel is bounded too. */
	(void)setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	h2o_socket_read_start(sock, on_input);
	if (stream->leaving)
		stream_farewell(stream);
	else
		stream_go_on(stream);
	stream_unref(stream);
}

static struct stream *stream_new(struct request *request, const struct stream_plan *plan)
{
	struct stream_hub *hub = request->loop->streams;
	struct stream *stream = xcalloc(1, sizeof(*stream));
	stream->hub = hub;
	stream->backoff = (struct backoff){.min_ms = BACKOFF_FIRST_MS, .max_ms = BACKOFF_MAX_MS};
	stream->refs = 2; /* the hub's, and that of `opened` */
	stream->token = request->token;
	shared_ref(&stream->token->shared);
	stream->sees_projects = scopes_cover(stream->token->scopes, SCOPE_PROJECTS_READ);
	memcpy(stream->key, plan->key, sizeof(stream->key));
	stream->bucket = stream_bucket(stream->key);
	stream->log_end = -1;
	stream->beat_ms = clock_boot_ms();
	list_init(&stream->wait_node);
	follow_init(&stream->follow, plan->kind, (size_t)hub->loop->gateway->config->stream_buffer_bytes);
	metric_add(&open_gauge, 1);
	return stream;
}

/* -1: request->answer is a problem. */
static int admit(struct request *request)
{
	struct error err = ERROR_INIT;
	if (request->loop->streams->draining)
		return problem_answer(request, PROBLEM_SHUTTING_DOWN, "The gateway is shutting down.");
	if (open_limits_take(request->gateway->streams->limits, request->token->hash, &err) == 0)
		return 0;
	if (err.kind == ERR_DENIED)
		return problem_answer(request, PROBLEM_TOO_MANY_REQUESTS, "The token has as many streams open as it may.");
	return problem_answer(request, PROBLEM_OVERLOADED, "The gateway has as many streams open as it may.");
}

void stream_head(struct answer *answer)
{
	answer_empty(answer, 200);
	answer->content_type = "text/event-stream";
	answer_field(answer, "cache-control", "no-store");
	answer_field(answer, "x-accel-buffering", "no"); /* nginx would collect events */
}

/* What a GET's head says, without a length: the stream has none. */
static void send_head(struct request *request)
{
	static h2o_generator_t nothing = {NULL, NULL};
	request_begin(request, SIZE_MAX, &nothing);
	h2o_send(request->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
}

void stream_begin(struct request *request)
{
	/* Of one length. A gateway that dies has all of its streams come back, and they shall not come at once. */
	static const char hellos[][14] = {"retry: 2000\n\n", "retry: 2400\n\n", "retry: 2800\n\n", "retry: 3200\n\n",
									  "retry: 3600\n\n", "retry: 4000\n\n", "retry: 4400\n\n", "retry: 4800\n\n"};
	const struct stream_plan *plan = request->plan;
	if (request->answered || request->h2o == NULL)
		return;
	stream_head(&request->answer);
	if (request->is_head) {
		send_head(request);
		return;
	}
	if (admit(request) < 0) {
		request_send(request);
		return;
	}
	struct stream *stream = stream_new(request, plan);
	stream_hub_add(stream->hub, stream);
	const char *hello = hellos[random_below(ARRAY_LEN(hellos))];
	request_upgrade(request, h2o_iovec_init(hello, strlen(hello)), opened, stream);
	stream_follow(stream, plan);
}

static void release_plan(struct request *request)
{
	free(request->plan);
}

void stream_plan(struct request *request, const struct stream_plan *plan)
{
	static const struct responder responder = {.begin = stream_begin, .release = release_plan};
	request->plan = xmalloc(sizeof(*plan));
	*request->plan = *plan;
	request->responder = &responder;
}
