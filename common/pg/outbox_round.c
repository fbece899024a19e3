/*
 * One round of the relay: produce all, wait for the reports, say which may be deleted.
 *
 * Order per key: all messages of a round go to one incarnation of a gapless idempotent handle, so a message that fails
 * takes down what came after it. Whatever of a key follows one that was not acknowledged stays in the table and is
 * produced again, behind it. Of a build of which one event was not acknowledged, all that the same row names stay.
 *
 * A partition that takes nothing (it has no leader, or too few replicas in sync) gives no report either, for as long as
 * that lasts. A key, and all that a row names, are of one shard, so each shard is settled by itself: when the patience
 * is over those whose reports are there are, and the others when theirs have come.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mutex.h"
#include "common/pg/outbox_private.h"

/* Some hundred times what a round takes. What is only slow is not repeated: its reports count whenever they come. */
#define PATIENCE_MS 1000

struct entry {
	struct outbox_round *round;
	enum error_kind
		outcome; /* ERR_NONE = acknowledged; ERR_INVALID = cannot be published; ERR_CANCELLED = was not tried */
	int shard;
};

/* Lives until the relay has let go and the last report has come. */
struct outbox_round {
	struct outbox_batch batch; /* the relay's thread's, until it lets go; so are these two */
	struct wakeup *reported;
	uint64_t unsettled; /* shards */

	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	size_t pending;                   /* reports that are to come */
	size_t pending_of[OUTBOX_SHARDS]; /* of these */
	bool late;                        /* the relay waits no more: it is woken */
	bool abandoned;                   /* the relay has let go */
	size_t len;
	struct entry entries[];
};

static struct outbox_round *round_new(struct outbox_batch *batch, struct wakeup *reported)
{
	struct outbox_round *round = xcalloc(1, sizeof(*round) + batch->len * sizeof(round->entries[0]));
	round->batch = *batch;
	*batch = (struct outbox_batch){.recent = batch->recent};
	round->reported = reported;
	round->unsettled = UINT64_MAX;
	mutex_init(&round->lock);
	cond_init(&round->changed);
	round->len = round->batch.len;
	for (size_t i = 0; i < round->len; i++)
		round->entries[i] =
			(struct entry){.round = round, .outcome = ERR_CANCELLED, .shard = round->batch.events[i].shard};
	return round;
}

static void destroy(struct outbox_round *round)
{
	(void)pthread_cond_destroy(&round->changed); /* nobody waits */
	(void)pthread_mutex_destroy(&round->lock);   /* nobody holds it */
	free(round);
}

void outbox_round_free(struct outbox_round *round)
{
	if (round == NULL)
		return;
	outbox_batch_release(&round->batch);
	mutex_lock(&round->lock);
	round->abandoned = true;
	bool last = round->pending == 0;
	mutex_unlock(&round->lock);
	if (last)
		destroy(round);
}

static void expect_report(struct entry *entry)
{
	struct outbox_round *round = entry->round;
	mutex_lock(&round->lock);
	round->pending++;
	round->pending_of[entry->shard]++;
	mutex_unlock(&round->lock);
}

/* Under the lock. */
static void count_report(struct entry *entry)
{
	entry->round->pending--;
	entry->round->pending_of[entry->shard]--;
}

static void expect_no_report(struct entry *entry)
{
	mutex_lock(&entry->round->lock);
	count_report(entry);
	mutex_unlock(&entry->round->lock);
}

/* On the producer's thread. */
static void on_delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct entry *entry = ctx;
	struct outbox_round *round = entry->round;
	mutex_lock(&round->lock);
	entry->outcome = delivery->outcome;
	count_report(entry);
	bool last = round->pending == 0 && round->abandoned;
	if (round->pending == 0)
		CHECK(pthread_cond_signal(&round->changed) == 0);
	/* Under the lock: the relay is still there. */
	if (round->late && !round->abandoned && round->pending_of[entry->shard] == 0)
		wakeup_signal(round->reported);
	mutex_unlock(&round->lock);
	if (last)
		destroy(round);
}

/* Keys of which nothing more may be produced or deleted in this round; made when there is the first. */
struct blocked {
	struct map *keys;
	size_t max;
};

static int blocked_name(struct buffer *name, const struct outbox_event *event)
{
	buffer_clear(name);
	(void)buffer_append(name, event->topic, strlen(event->topic) + 1); /* looked at below */
	(void)buffer_append_str(name, event->key);
	return buffer_ok(name) ? 0 : -1;
}

static bool is_blocked(const struct blocked *blocked, struct buffer *name, const struct outbox_event *event)
{
	if (blocked->keys == NULL)
		return false;
	return blocked_name(name, event) < 0 || map_get(blocked->keys, name->data, name->len) != NULL;
}

static void block(struct blocked *blocked, struct buffer *name, const struct outbox_event *event)
{
	if (blocked->keys == NULL)
		blocked->keys = map_new(blocked->max, NULL);
	if (blocked_name(name, event) == 0)
		CHECK(map_set(blocked->keys, name->data, name->len, blocked) == 0); /* any value but NULL */
}

/* Produces until the producer takes no more. What it did not take keeps ERR_CANCELLED. */
static void produce_all(struct kafka_producer *producer, struct outbox_round *round, struct blocked *blocked,
						struct buffer *name)
{
	struct outbox_message message;
	outbox_message_init(&message);
	uint64_t generation = kafka_producer_generation(producer);
	for (size_t row = 0; row < round->len; row++) {
		const struct outbox_event *event = &round->batch.events[row];
		struct entry *entry = &round->entries[row];
		struct error err = ERROR_INIT;
		if (is_blocked(blocked, name, event)) {
			entry->outcome = ERR_INVALID;
			continue;
		}
		expect_report(entry);
		int taken = outbox_message_read(&message, event, &err);
		message.message.generation = generation;
		if (taken == 0)
			taken = kafka_produce(producer, &message.message, on_delivered, entry, &err);
		if (taken == 0)
			continue;
		expect_no_report(entry);
		if (err.kind != ERR_INVALID && err.kind != ERR_INTERNAL)
			break; /* queue full, or the handle is being replaced: the rest waits for the next round */
		log_error("outbox: an event cannot be published, its key waits", "outbox_id", event->row, "topic", event->topic,
				  "key", event->key, "error", err.message, NULL);
		entry->outcome = ERR_INVALID;
		block(blocked, name, event);
	}
	outbox_message_release(&message);
}

struct outbox_round *outbox_round_start(struct kafka_producer *producer, struct outbox_batch *batch,
										struct wakeup *reported)
{
	struct outbox_round *round = round_new(batch, reported);
	struct blocked blocked = {.max = round->len};
	CLEANUP(buffer_release_p) struct buffer name;
	buffer_init(&name, 65536);
	produce_all(producer, round, &blocked, &name);
	map_free(blocked.keys);
	return round;
}

void outbox_round_wait(struct outbox_round *round)
{
	int64_t deadline_ms = clock_boot_ms() + PATIENCE_MS;
	mutex_lock(&round->lock);
	for (int left_ms; round->pending > 0 && (left_ms = clock_left_ms(deadline_ms)) > 0;) {
		struct timespec until = cond_deadline(left_ms);
		(void)cond_wait_until(&round->changed, &round->lock, &until); /* the loop looks at the state */
	}
	bool late = round->pending > 0;
	round->late = late;
	mutex_unlock(&round->lock);
	if (late)
		outbox_batch_drop_bodies(&round->batch); /* the producer has copies */
}

void outbox_done_init(struct outbox_done *done, const struct outbox_round *round)
{
	size_t events = round->len;
	pg_array_init(&done->ids, 32 * events + 64);
	pg_array_init(&done->part_ids, 32 * events + 64);
	pg_array_init(&done->part_builds, 64 * events + 64);
}

void outbox_done_release(struct outbox_done *done)
{
	pg_array_release(&done->ids);
	pg_array_release(&done->part_ids);
	pg_array_release(&done->part_builds);
}

/* The first event at or after `at` that another row holds or names. */
static size_t end_of_row(const struct outbox_batch *batch, size_t at)
{
	const char *row = batch->events[at].row;
	while (at < batch->len && strcmp(batch->events[at].row, row) == 0)
		at++;
	return at;
}

/* The first before `to` with another key. */
static size_t end_of_key(const struct outbox_batch *batch, size_t at, size_t to)
{
	const char *key = batch->events[at].key;
	while (at < to && strcmp(batch->events[at].key, key) == 0)
		at++;
	return at;
}

static size_t count_outcome(const struct outbox_round *round, size_t from, size_t to, enum error_kind outcome)
{
	size_t found = 0;
	for (size_t row = from; row < to; row++)
		found += round->entries[row].outcome == outcome;
	return found;
}

static bool all_acknowledged(const struct outbox_round *round, size_t from, size_t to)
{
	return count_outcome(round, from, to, ERR_NONE) == to - from;
}

/* Events of one key stay. Those that were acknowledged wait with one that cannot be published. */
static void count_failed(const struct outbox_round *round, size_t from, size_t to, struct outbox_round_result *counts)
{
	size_t invalid = count_outcome(round, from, to, ERR_INVALID);
	counts->failed += to - from;
	counts->blocked += invalid == 0 ? 0 : invalid + count_outcome(round, from, to, ERR_NONE);
}

static bool has(uint64_t shards, int shard)
{
	return (shards >> shard & 1) != 0;
}

/* The events of one outbox row, which begin at `from`: one, or those of its builds, one build after the other. Gives
 * where the next begins. */
static size_t settle_row(const struct outbox_round *round, uint64_t shards, size_t from, struct outbox_done *done,
						 struct outbox_round_result *counts)
{
	const struct outbox_batch *batch = &round->batch;
	size_t to = end_of_row(batch, from);
	if (!has(shards, batch->events[from].shard))
		return to;
	if (all_acknowledged(round, from, to)) {
		pg_array_add(&done->ids, batch->events[from].row);
		counts->published += to - from;
		return to;
	}
	for (size_t row = from, next; row < to; row = next) {
		next = end_of_key(batch, row, to);
		if (!all_acknowledged(round, row, next)) {
			count_failed(round, row, next, counts);
			continue;
		}
		pg_array_add(&done->part_ids, batch->events[row].row);
		pg_array_add(&done->part_builds, batch->events[row].key);
		counts->published += next - row;
	}
	return to;
}

/* From the first event on: what came before one that was not acknowledged has gone out and may go. */
static void hold_back_keys(struct outbox_round *round, uint64_t shards)
{
	struct blocked blocked = {.max = round->len};
	CLEANUP(buffer_release_p) struct buffer name;
	buffer_init(&name, 65536);
	for (size_t row = 0; row < round->len; row++) {
		const struct outbox_event *event = &round->batch.events[row];
		if (!has(shards, event->shard))
			continue;
		if (round->entries[row].outcome != ERR_NONE)
			block(&blocked, &name, event);
		else if (is_blocked(&blocked, &name, event))
			round->entries[row].outcome = ERR_CANCELLED; /* its turn comes behind the other one */
	}
	map_free(blocked.keys);
}

static uint64_t without_reports(struct outbox_round *round)
{
	uint64_t shards = 0;
	mutex_lock(&round->lock);
	for (int shard = 0; shard < OUTBOX_SHARDS; shard++)
		shards |= (uint64_t)(round->pending_of[shard] > 0) << shard;
	mutex_unlock(&round->lock);
	return shards;
}

void outbox_round_settle(struct outbox_round *round, struct outbox_done *done, struct outbox_round_result *ret_result)
{
	uint64_t waiting = without_reports(round);
	uint64_t shards = round->unsettled & ~waiting;
	struct outbox_round_result counts = {.published = 0};
	round->unsettled = waiting;
	if (shards != 0)
		hold_back_keys(round, shards);
	for (size_t row = 0; shards != 0 && row < round->len;)
		row = settle_row(round, shards, row, done, &counts);
	*ret_result = counts;
}

uint64_t outbox_round_waits_for(const struct outbox_round *round)
{
	return round->unsettled;
}
