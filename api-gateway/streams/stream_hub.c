/* A loop's streams: who wants what, whose turn it is to read the store, and what comes once a second. */
#include <stdlib.h>

#include "api-gateway/config.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/stream_history.h"
#include "api-gateway/streams/stream_private.h"
#include "api-gateway/requests/workers.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define SECOND_MS 1000
#define SOON_MS 50
#define LINGER_TAILS_MS 30000 /* the tails go on that long without a stream */
#define DRAIN_PATIENCE_MS 1000

/* A read of the store under way: its worker's, then its loop's. */
struct read_job {
	struct hub_note note;
	struct worker_task task; /* Postgres */
	struct history_work history;
	struct stream *stream; /* a reference */
	struct stream_hub *hub;
	struct stream_read read;
	bool failed;
};

static void on_notes(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	struct stream_hub *hub = CONTAINER_OF(receiver, struct stream_hub, notes);
	while (!h2o_linklist_is_empty(messages)) {
		h2o_multithread_message_t *message = CONTAINER_OF(messages->next, h2o_multithread_message_t, link);
		h2o_linklist_unlink(&message->link);
		struct hub_note *note = CONTAINER_OF(message, struct hub_note, message);
		note->on_loop(hub, note);
	}
}

void stream_hub_post(struct stream_hub *hub, struct hub_note *note)
{
	h2o_multithread_send_message(&hub->notes, &note->message);
}

static void read_done(struct stream_hub *hub, struct hub_note *note);

static void finish_read(struct read_job *job, const struct error *err)
{
	job->failed = err->kind != ERR_NONE;
	bool is_away = err->kind == ERR_UNAVAILABLE || err->kind == ERR_LIMIT; /* others say so, once */
	if (job->failed && !is_away)
		log_warn("reading for a stream", "key", job->read.key, "error", err->message, NULL);
	job->note.on_loop = read_done;
	stream_hub_post(job->hub, &job->note);
}

static void run_read(struct worker_task *task)
{
	struct read_job *job = CONTAINER_OF(task, struct read_job, task);
	struct gateway *gateway = job->hub->shared->gateway;
	CLEANUP(db_give) struct db db = {0};
	struct error err = ERROR_INIT;
	if (workers_connection(gateway->workers, &db, &err) == 0 &&
		stream_read_run(&job->read, gateway, db.conn, &err) == 0)
		err.kind = ERR_NONE;
	db_give(&db);
	finish_read(job, &err);
}

static void history_done(struct history_work *work, const struct error *err)
{
	finish_read(CONTAINER_OF(work, struct read_job, history), err);
}

/* The share of the workers that streams may take: requests need some too. */
static bool take_worker(struct streams *streams)
{
	if (atomic_fetch_add(&streams->reads, 1) < streams->reads_max)
		return true;
	(void)atomic_fetch_sub(&streams->reads, 1); /* as if it had never been */
	return false;
}

static bool submit(struct read_job *job)
{
	struct streams *streams = job->hub->shared;
	if (stream_is_feed(job->read.kind)) {
		job->history = (struct history_work){.read = &job->read, .token = job->stream->token, .done = history_done};
		return stream_history_try(streams->history, &job->history);
	}
	job->task.run = run_read;
	if (!take_worker(streams))
		return false;
	if (workers_try(streams->gateway->workers, &job->task))
		return true;
	(void)atomic_fetch_sub(&streams->reads, 1); /* given back */
	return false;
}

static bool start_read(struct stream_hub *hub, struct stream *stream)
{
	struct read_job *job = xcalloc(1, sizeof(*job));
	struct follow *follow = &stream->follow;
	stream_read_init(&job->read, follow->kind, stream->key, follow->sent);
	job->hub = hub;
	job->stream = stream;
	job->read.log_end = stream->log_end;
	job->read.from = follow->place;
	job->read.to = follow->feed_goal;
	job->read.sees_projects = stream->sees_projects;
	job->read.covered = follow_read_begins(follow);
	if (!submit(job)) {
		free(job);
		return false;
	}
	stream->refs++;
	stream->reading = true;
	return true;
}

static void be_ready(struct stream_hub *hub, struct stream *stream)
{
	enum stream_store store = stream_is_feed(stream->follow.kind) ? STORE_KAFKA : STORE_POSTGRES;
	list_append(&hub->ready[store], &stream->wait_node);
}

static void retry_soon(struct stream_hub *hub)
{
	bool somebody = !list_empty(&hub->later);
	for (size_t store = 0; store < STREAM_STORES; store++)
		somebody = somebody || !list_empty(&hub->ready[store]);
	if (somebody && !h2o_timeout_is_linked(&hub->retry))
		h2o_timeout_link(hub->loop->ctx.loop, &hub->soon, &hub->retry);
}

/* In the order of their coming, as long as there is somebody to do it. */
static void start_reads(struct stream_hub *hub)
{
	for (size_t store = 0; store < STREAM_STORES; store++) {
		LIST_FOR_EACH (node, &hub->ready[store]) {
			if (!start_read(hub, LIST_ITEM(node, struct stream, wait_node)))
				break;
			list_remove(node);
		}
	}
	retry_soon(hub);
}

static void on_retry(h2o_timeout_entry_t *entry)
{
	struct stream_hub *hub = CONTAINER_OF(entry, struct stream_hub, retry);
	int64_t now_ms = clock_boot_ms();
	LIST_FOR_EACH (node, &hub->later) {
		struct stream *stream = LIST_ITEM(node, struct stream, wait_node);
		if (stream->retry_ms > now_ms)
			continue;
		list_remove(node);
		be_ready(hub, stream);
	}
	start_reads(hub);
}

static void read_done(struct stream_hub *hub, struct hub_note *note)
{
	struct read_job *job = CONTAINER_OF(note, struct read_job, note);
	struct stream *stream = job->stream;
	if (!stream_is_feed(job->read.kind))
		(void)atomic_fetch_sub(&hub->shared->reads, 1); /* given back */
	stream->reading = false;
	if (!stream->closed)
		stream_read_done(stream, job->failed ? NULL : &job->read);
	stream_unref(stream);
	stream_read_release(&job->read);
	free(job);
	start_reads(hub);
}

void stream_hub_wait(struct stream_hub *hub, struct stream *stream)
{
	list_remove(&stream->wait_node);
	if (stream->retry_ms > clock_boot_ms()) {
		list_append(&hub->later, &stream->wait_node);
		retry_soon(hub);
		return;
	}
	be_ready(hub, stream);
	start_reads(hub);
}

static enum stream_interest own_interest(const struct stream *stream)
{
	return stream->follow.kind == STREAM_LOGS      ? INTEREST_LOGS
		   : stream->follow.kind == STREAM_PROJECT ? INTEREST_PROJECT
												   : INTEREST_EVENTS;
}

/* What the tails look at. Whoever raises it looks where the tails are afterwards (topic_tail_position). */
static void change_interest(struct stream_hub *hub, const struct stream *stream, uint32_t by)
{
	struct streams *streams = hub->shared;
	(void)atomic_fetch_add(&hub->shared->open, (int32_t)by); /* only the counts matter, here and below */
	if (stream->follow.kind != STREAM_ALL)
		(void)atomic_fetch_add(&hub->interest[own_interest(stream)][stream->bucket], by);
	if (stream->follow.kind == STREAM_LOGS) {
		(void)atomic_fetch_add(&hub->interest[INTEREST_EVENTS][stream->bucket], by); /* its end */
		(void)atomic_fetch_add(&streams->open_logs, (int32_t)by);
	}
	if (stream_is_feed(stream->follow.kind))
		(void)atomic_fetch_add(&hub->feeds, by);
	if (stream->follow.kind == STREAM_ALL)
		(void)atomic_fetch_add(&hub->feeds_of_all, by);
}

void stream_hub_want_events(struct stream_hub *hub, uint16_t bucket, int by)
{
	struct streams *streams = hub->shared;
	/* Only the counts matter, here and below. */
	(void)atomic_fetch_add(&hub->interest[INTEREST_EVENTS][bucket], (uint32_t)by);
	if (by < 0)
		atomic_store(&streams->open_until_ms, clock_boot_ms() + LINGER_TAILS_MS);
	(void)atomic_fetch_add(&streams->open, by);
	if (by > 0)
		topic_tail_wake(streams->events);
}

static void on_second(h2o_timeout_entry_t *entry)
{
	struct stream_hub *hub = CONTAINER_OF(entry, struct stream_hub, sweep);
	int64_t now_ms = clock_boot_ms();
	LIST_FOR_EACH (node, &hub->all) {
		struct stream *stream = LIST_ITEM(node, struct stream, node);
		if (hub->draining && now_ms - hub->drained_ms >= DRAIN_PATIENCE_MS)
			stream_close(stream, END_DRAIN);
		else
			stream_sweep(stream, now_ms);
	}
	if (hub->len > 0)
		h2o_timeout_link(hub->loop->ctx.loop, &hub->second, &hub->sweep);
}

void stream_hub_add(struct stream_hub *hub, struct stream *stream)
{
	list_append(&hub->all, &stream->node);
	list_append(stream->follow.kind == STREAM_ALL ? &hub->of_all : &hub->buckets[stream->bucket], &stream->key_node);
	hub->len++;
	change_interest(hub, stream, 1);
	topic_tail_wake(hub->shared->events);
	if (stream->follow.kind == STREAM_LOGS)
		topic_tail_wake(hub->shared->logs);
	if (!h2o_timeout_is_linked(&hub->sweep))
		h2o_timeout_link(hub->loop->ctx.loop, &hub->second, &hub->sweep);
}

void stream_hub_remove(struct stream_hub *hub, struct stream *stream)
{
	list_remove(&stream->node);
	list_remove(&stream->key_node);
	list_remove(&stream->wait_node);
	hub->len--;
	atomic_store(&hub->shared->open_until_ms, clock_boot_ms() + LINGER_TAILS_MS);
	change_interest(hub, stream, UINT32_MAX); /* one less */
}

void stream_hub_drain(struct stream_hub *hub)
{
	hub->draining = true;
	hub->drained_ms = clock_boot_ms();
	LIST_FOR_EACH (node, &hub->all)
		stream_farewell(LIST_ITEM(node, struct stream, node));
}

struct stream_hub *stream_hub_new(struct loop *loop)
{
	struct streams *streams = loop->gateway->streams;
	struct stream_hub *hub = xcalloc(1, sizeof(*hub));
	hub->loop = loop;
	hub->shared = streams;
	list_init(&hub->all);
	list_init(&hub->of_all);
	for (size_t store = 0; store < STREAM_STORES; store++)
		list_init(&hub->ready[store]);
	list_init(&hub->later);
	for (size_t i = 0; i < STREAM_BUCKETS; i++)
		list_init(&hub->buckets[i]);
	h2o_timeout_init(loop->ctx.loop, &hub->second, SECOND_MS);
	h2o_timeout_init(loop->ctx.loop, &hub->soon, SOON_MS);
	hub->sweep.cb = on_second;
	hub->retry.cb = on_retry;
	h2o_multithread_register_receiver(loop->ctx.queue, &hub->notes, on_notes);
	size_t index = atomic_fetch_add(&streams->hubs_len, 1);
	CHECK(index < STREAM_LOOPS_MAX);
	atomic_store(&streams->hubs[index], hub);
	return hub;
}
