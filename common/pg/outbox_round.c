/*
 * One round of the relay: produce all, wait for all, say which may be deleted.
 *
 * Order per key: all messages of a round go to one incarnation of a gapless idempotent handle, so a message that fails
 * takes down what came after it. Whatever of a key follows one that was not acknowledged stays in the table and is
 * produced again, behind it. Of a build of which one event was not acknowledged, all that the same row names stay.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mutex.h"
#include "common/pg/outbox_private.h"

/* After `stopping` a round gets this long to end by itself. */
#define STOP_MS 3000

struct entry {
	struct round *round;
	enum error_kind
		outcome; /* ERR_NONE = acknowledged; ERR_INVALID = cannot be published; ERR_CANCELLED = was not tried */
};

/* Lives until the relay has let go and the last report has come. */
struct round {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t pending;
	bool abandoned;
	size_t len;
	struct entry entries[];
};

static struct round *round_new(size_t len)
{
	struct round *round = xcalloc(1, sizeof(*round) + len * sizeof(round->entries[0]));
	mutex_init(&round->lock);
	cond_init(&round->changed);
	round->len = len;
	for (size_t i = 0; i < len; i++)
		round->entries[i] = (struct entry){.round = round, .outcome = ERR_CANCELLED};
	return round;
}

static void round_free(struct round *round)
{
	(void)pthread_cond_destroy(&round->changed); /* nobody waits */
	(void)pthread_mutex_destroy(&round->lock);   /* nobody holds it */
	free(round);
}

/* On the producer's thread. */
static void on_delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct entry *entry = ctx;
	struct round *round = entry->round;
	mutex_lock(&round->lock);
	entry->outcome = delivery->outcome;
	round->pending--;
	bool last = round->pending == 0 && round->abandoned;
	if (round->pending == 0)
		CHECK(pthread_cond_signal(&round->changed) == 0);
	mutex_unlock(&round->lock);
	if (last)
		round_free(round);
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
static void produce_all(struct kafka_producer *producer, const struct outbox_batch *batch, struct round *round,
						struct blocked *blocked, struct buffer *name)
{
	struct outbox_message message;
	outbox_message_init(&message);
	uint64_t generation = kafka_producer_generation(producer);
	for (size_t row = 0; row < round->len; row++) {
		const struct outbox_event *event = &batch->events[row];
		struct error err = ERROR_INIT;
		if (is_blocked(blocked, name, event)) {
			round->entries[row].outcome = ERR_INVALID;
			continue;
		}
		mutex_lock(&round->lock);
		round->pending++;
		mutex_unlock(&round->lock);
		int taken = outbox_message_read(&message, event, &err);
		message.message.generation = generation;
		if (taken == 0)
			taken = kafka_produce(producer, &message.message, on_delivered, &round->entries[row], &err);
		if (taken == 0)
			continue;
		mutex_lock(&round->lock);
		round->pending--;
		mutex_unlock(&round->lock);
		if (err.kind != ERR_INVALID && err.kind != ERR_INTERNAL)
			break; /* queue full, or the handle is being replaced: the rest waits for the next round */
		log_error("outbox: an event cannot be published, its key waits", "outbox_id", event->row, "topic", event->topic,
				  "key", event->key, "error", err.message, NULL);
		round->entries[row].outcome = ERR_INVALID;
		block(blocked, name, event);
	}
	outbox_message_release(&message);
}

/* False when it was given up; then the round belongs to the reports that are still to come. */
static bool wait_all(struct round *round, const _Atomic bool *stopping)
{
	int64_t give_up_ms = 0;
	mutex_lock(&round->lock);
	while (round->pending > 0) {
		if (atomic_load(stopping) && give_up_ms == 0)
			give_up_ms = clock_boot_ms() + STOP_MS;
		if (give_up_ms != 0 && clock_left_ms(give_up_ms) == 0)
			break;
		struct timespec until = cond_deadline(200);
		(void)cond_wait_until(&round->changed, &round->lock, &until); /* the loop looks at the state */
	}
	bool done = round->pending == 0;
	round->abandoned = !done;
	mutex_unlock(&round->lock);
	return done;
}

void outbox_done_init(struct outbox_done *done, size_t events)
{
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

static size_t count_outcome(const struct round *round, size_t from, size_t to, enum error_kind outcome)
{
	size_t found = 0;
	for (size_t row = from; row < to; row++)
		found += round->entries[row].outcome == outcome;
	return found;
}

static bool all_acknowledged(const struct round *round, size_t from, size_t to)
{
	return count_outcome(round, from, to, ERR_NONE) == to - from;
}

/* Events of one key stay. Those that were acknowledged wait with one that cannot be published. */
static void count_failed(const struct round *round, size_t from, size_t to, struct outbox_round_result *counts)
{
	size_t invalid = count_outcome(round, from, to, ERR_INVALID);
	counts->failed += to - from;
	counts->blocked += invalid == 0 ? 0 : invalid + count_outcome(round, from, to, ERR_NONE);
}

/* The events of one outbox row, which begin at `from`: one, or those of its builds, one build after the other. Gives
 * where the next begins. */
static size_t settle_row(const struct round *round, const struct outbox_batch *batch, size_t from,
						 struct outbox_done *done, struct outbox_round_result *counts)
{
	size_t to = end_of_row(batch, from);
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

int outbox_round(struct kafka_producer *producer, const struct outbox_batch *batch, const _Atomic bool *stopping,
				 struct outbox_done *done, struct outbox_round_result *ret_result, struct error *err)
{
	struct outbox_round_result counts = {.events = batch->len};
	struct round *round = round_new(counts.events);
	struct blocked blocked = {.max = counts.events};
	CLEANUP(buffer_release_p) struct buffer name;
	buffer_init(&name, 65536);

	produce_all(producer, batch, round, &blocked, &name);
	if (!wait_all(round, stopping)) {
		map_free(blocked.keys);
		return error_set(err, ERR_CANCELLED, "outbox: stopped while waiting for acknowledgements");
	}
	/* Again from the first event: what came before one that was not acknowledged has gone out and may go. */
	map_free(blocked.keys);
	blocked.keys = NULL;
	for (size_t row = 0; row < counts.events; row++) {
		if (round->entries[row].outcome != ERR_NONE)
			block(&blocked, &name, &batch->events[row]);
		else if (is_blocked(&blocked, &name, &batch->events[row]))
			round->entries[row].outcome = ERR_CANCELLED; /* its turn comes behind the other one */
	}
	map_free(blocked.keys);
	for (size_t row = 0; row < counts.events;)
		row = settle_row(round, batch, row, done, &counts);
	round_free(round);
	*ret_result = counts;
	return 0;
}
