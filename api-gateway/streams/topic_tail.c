#include "api-gateway/streams/topic_tail.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"
#include "common/kafka/topics.h"

#define ASK_MS 3000
#define RETRY_MS 500
#define REST_MS 1000 /* between looks whether it is wanted */
#define POLL_MS 500

struct topic_tail {
	struct topic_tail_options options;
	size_t slots;
	struct {
		const char *topic;
		int32_t partition;
	} places[TOPIC_TAIL_SLOTS_MAX];
	pthread_t thread;
	struct wakeup wakeup;
	_Atomic bool stop, ready;
	struct kafka_consumer *consumer; /* the thread's */
	pthread_rwlock_t lock;           /* `asker`: set once by the thread, used by whoever asks */
	/* Questions go over a connection of their own: on the reader's they would wait behind its long polls. */
	struct kafka_consumer *asker;
	_Atomic int64_t position[TOPIC_TAIL_SLOTS_MAX];
	int64_t ready_at[TOPIC_TAIL_SLOTS_MAX];
};

static bool is_wanted(const struct topic_tail *tail)
{
	return tail->options.turn == NULL || tail->options.turn(tail->options.ctx);
}

static int make_asker(struct topic_tail *tail, struct error *err)
{
	if (tail->asker != NULL)
		return 0;
	struct kafka_consumer *asker;
	if (kafka_tail_new(&tail->options.settings, NULL, 0, &asker, err) < 0)
		return -1;
	CHECK(pthread_rwlock_wrlock(&tail->lock) == 0);
	tail->asker = asker;
	CHECK(pthread_rwlock_unlock(&tail->lock) == 0);
	return 0;
}

/* Where to begin a slot for the first time. */
static int find_first(struct topic_tail *tail, size_t slot, int64_t since_ms, int64_t low,
					  struct kafka_position *position, struct error *err)
{
	int64_t end = tail->ready_at[slot];
	if (kafka_offset_at(tail->asker, position->topic, position->partition, since_ms, ASK_MS, &position->offset, err) <
		0)
		return -1;
	if (tail->options.wanted == NULL)
		return 0;
	int64_t wanted = tail->options.wanted(tail->options.ctx, slot, end);
	if (wanted < position->offset)
		position->offset = wanted > low ? wanted : low;
	return 0;
}

/* Where to begin. */
static int find_positions(struct topic_tail *tail, struct kafka_position *positions, struct error *err)
{
	int64_t back_ms = tail->options.back_ms, since_ms = clock_wall_us() / 1000 - back_ms;
	int64_t lows[TOPIC_TAIL_SLOTS_MAX] = {0};
	for (size_t slot = 0; slot < tail->slots; slot++)
		positions[slot] =
			(struct kafka_position){.topic = tail->places[slot].topic, .partition = tail->places[slot].partition};
	if (kafka_watermarks_of(tail->asker, positions, tail->slots, ASK_MS, lows, tail->ready_at, err) < 0)
		return -1;
	for (size_t slot = 0; slot < tail->slots; slot++) {
		if (atomic_load(&tail->stop))
			return error_set(err, ERR_CANCELLED, "stopped");
		int64_t before = atomic_load(&tail->position[slot]);
		if (before >= lows[slot] && before <= tail->ready_at[slot])
			positions[slot].offset = before;
		else if (back_ms < 0)
			positions[slot].offset = tail->ready_at[slot];
		else if (find_first(tail, slot, since_ms, lows[slot], &positions[slot], err) < 0)
			return -1;
	}
	return 0;
}

static int begin(struct topic_tail *tail, struct error *err)
{
	struct kafka_position positions[TOPIC_TAIL_SLOTS_MAX] = {{0}};
	int64_t before[TOPIC_TAIL_SLOTS_MAX], now[TOPIC_TAIL_SLOTS_MAX];
	kafka_consumer_free(tail->consumer);
	tail->consumer = NULL;
	if (make_asker(tail, err) < 0 || find_positions(tail, positions, err) < 0 ||
		kafka_tail_new(&tail->options.settings, positions, tail->slots, &tail->consumer, err) < 0)
		return -1;
	for (size_t slot = 0; slot < tail->slots; slot++) {
		now[slot] = positions[slot].offset;
		before[slot] = atomic_exchange(&tail->position[slot], now[slot]);
	}
	tail->options.began(tail->options.ctx, before, now);
	metric_add(tail->options.begins_total, 1);
	return 0;
}

static size_t slot_of(const struct topic_tail *tail, const rd_kafka_message_t *message)
{
	return topic_tail_first_slot(tail, rd_kafka_topic_name(message->rkt)) + (size_t)message->partition;
}

static bool has_caught_up(const struct topic_tail *tail)
{
	for (size_t slot = 0; slot < tail->slots; slot++) {
		if (atomic_load(&tail->position[slot]) < tail->ready_at[slot])
			return false;
	}
	return true;
}

/* Until it breaks (false), is not wanted any more, or is told to stop. */
static bool read_on(struct topic_tail *tail)
{
	while (!atomic_load(&tail->stop) && is_wanted(tail)) {
		if (!atomic_load(&tail->ready) && has_caught_up(tail)) {
			atomic_store(&tail->ready, true);
			(void)malloc_trim(0); /* reading some minutes at once took much more memory than going on will */
		}
		struct error err = ERROR_INIT;
		rd_kafka_message_t *message = kafka_consumer_poll(tail->consumer, POLL_MS, &err);
		if (message != NULL) {
			size_t slot = slot_of(tail, message);
			atomic_store(&tail->position[slot], message->offset + 1);
			tail->options.take(tail->options.ctx, slot, message);
			rd_kafka_message_destroy(message);
		} else if (err.kind != ERR_NONE) {
			log_warn("a tail broke", "tail", tail->options.name, "error", err.message, NULL);
			return false;
		}
	}
	return true;
}

/* Whoever opens a stream wakes the tail, but makes no Kafka come back: only topic_tail_stop cuts it. */
static void pause_before_retry(struct topic_tail *tail)
{
	int64_t end_ms = clock_boot_ms() + RETRY_MS;
	for (int64_t left_ms; !atomic_load(&tail->stop) && (left_ms = end_ms - clock_boot_ms()) > 0;)
		(void)wakeup_wait(&tail->wakeup, (int)left_ms); /* the conditions are looked at again */
}

static void rest(struct topic_tail *tail)
{
	kafka_consumer_free(tail->consumer);
	tail->consumer = NULL;
	for (size_t slot = 0; slot < tail->slots; slot++)
		atomic_store(&tail->position[slot], -1);
	(void)malloc_trim(0); /* what the consumer had fetched ahead */
	while (!atomic_load(&tail->stop) && !is_wanted(tail))
		(void)wakeup_wait(&tail->wakeup, REST_MS); /* the conditions are looked at again */
}

static void *run(void *arg)
{
	struct topic_tail *tail = arg;
	while (!atomic_load(&tail->stop)) {
		struct error err = ERROR_INIT;
		if (!is_wanted(tail)) {
			rest(tail);
			continue;
		}
		bool has_begun = begin(tail, &err) == 0;
		if (!has_begun)
			log_warn("a tail cannot begin", "tail", tail->options.name, "error", err.message, NULL);
		bool broke = !has_begun || !read_on(tail);
		atomic_store(&tail->ready, false);
		if (broke)
			pause_before_retry(tail);
	}
	return NULL;
}

static void number_slots(struct topic_tail *tail)
{
	for (size_t i = 0; i < tail->options.topics_len; i++) {
		const struct topic *topic = topic_find(tail->options.topics[i]);
		for (int32_t partition = 0; partition < topic->partitions; partition++) {
			CHECK(tail->slots < TOPIC_TAIL_SLOTS_MAX);
			tail->places[tail->slots].topic = topic->name;
			tail->places[tail->slots].partition = partition;
			atomic_init(&tail->position[tail->slots], -1);
			tail->slots++;
		}
	}
}

int topic_tail_start(const struct topic_tail_options *options, struct topic_tail **ret_tail, struct error *err)
{
	struct topic_tail *tail = xcalloc(1, sizeof(*tail));
	tail->options = *options;
	number_slots(tail);
	CHECK(pthread_rwlock_init(&tail->lock, NULL) == 0);
	wakeup_init(&tail->wakeup);
	metric_register(options->begins_total);
	*ret_tail = tail; /* the thread's callbacks may look at it */
	if (thread_start(&tail->thread, tail->options.name, 0, run, tail, err) < 0) {
		*ret_tail = NULL;
		free(tail);
		return -1;
	}
	return 0;
}

void topic_tail_stop(struct topic_tail *tail)
{
	if (tail == NULL)
		return;
	atomic_store(&tail->stop, true);
	wakeup_signal(&tail->wakeup);
	thread_join(tail->thread);
	kafka_consumer_free(tail->consumer);
	kafka_consumer_free(tail->asker);
	wakeup_release(&tail->wakeup);
	(void)pthread_rwlock_destroy(&tail->lock); /* nobody asks any more */
	free(tail);
}

void topic_tail_wake(struct topic_tail *tail)
{
	wakeup_signal(&tail->wakeup);
}

size_t topic_tail_slots(const struct topic_tail *tail)
{
	return tail->slots;
}

size_t topic_tail_first_slot(const struct topic_tail *tail, const char *topic)
{
	size_t slot = 0;
	while (strcmp(tail->places[slot].topic, topic) != 0) {
		slot += (size_t)topic_find(tail->places[slot].topic)->partitions;
		CHECK(slot < tail->slots);
	}
	return slot;
}

int64_t topic_tail_position(const struct topic_tail *tail, size_t slot)
{
	return atomic_load(&tail->position[slot]);
}

int topic_tail_ends(struct topic_tail *tail, const struct kafka_position *positions, size_t count, int timeout_ms,
					int64_t *ret_offsets, struct error *err)
{
	CHECK(pthread_rwlock_rdlock(&tail->lock) == 0);
	int result = tail->asker == NULL
					 ? error_set(err, ERR_UNAVAILABLE, "kafka: not connected yet")
					 : kafka_watermarks_of(tail->asker, positions, count, timeout_ms, NULL, ret_offsets, err);
	CHECK(pthread_rwlock_unlock(&tail->lock) == 0);
	return result;
}

bool topic_tail_ready(const struct topic_tail *tail)
{
	return atomic_load(&tail->ready);
}
