#include "common/kafka/bursts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/kafka/topics.h"

#define LANES 64

/* Of a partition: one that does not answer holds up its own messages only. */
struct lane {
	size_t under_way, waiting_len, waiting_bytes;
	struct list_node waiting;
};

struct bursts {
	struct kafka_producer *producer;
	struct bursts_limits limits;

	pthread_mutex_t lock; /* everything below, and every burst; never held during a call of the producer or of `done` */
	size_t waiting_len, waiting_bytes; /* of all lanes */
	struct lane lanes[LANES];
};

/* Lives until the last of its messages has an end, those included that are not sent yet. */
struct burst {
	struct bursts *bursts;
	struct lane *lane;
	size_t left;
	bool acknowledged, failed; /* one of them, at least */
};

/* A message, from its acceptance to its report. */
struct op {
	struct list_node node;
	struct burst *burst; /* NULL while it waits */
	kafka_delivered *done;
	void *ctx;
	int64_t since_ms;             /* of one that waits, as all below */
	struct kafka_message message; /* a copy, with its texts behind, and its data unless that stays */
	struct cloudevent event;
	char room[];
};

struct bursts *bursts_new(struct kafka_producer *producer, const struct bursts_limits *limits)
{
	CHECK(limits->under_way > 0);
	struct bursts *bursts = xcalloc(1, sizeof(*bursts));
	bursts->producer = producer;
	bursts->limits = *limits;
	for (size_t i = 0; i < LANES; i++)
		list_init(&bursts->lanes[i].waiting);
	CHECK(pthread_mutex_init(&bursts->lock, NULL) == 0);
	return bursts;
}

void bursts_free(struct bursts *bursts)
{
	if (bursts == NULL)
		return;
	CHECK(bursts->waiting_len == 0);            /* the producer's purge has reported what was under way, and so them */
	(void)pthread_mutex_destroy(&bursts->lock); /* nobody is left to hold it */
	free(bursts);
}

static void lock(struct bursts *bursts)
{
	CHECK(pthread_mutex_lock(&bursts->lock) == 0);
}

static void unlock(struct bursts *bursts)
{
	CHECK(pthread_mutex_unlock(&bursts->lock) == 0);
}

static struct op *make_op(size_t room, kafka_delivered *done, void *ctx)
{
	struct op *op = xmalloc(sizeof(*op) + room);
	list_init(&op->node);
	op->burst = NULL;
	op->done = done;
	op->ctx = ctx;
	return op;
}

static void *keep(char **at, const void *from, size_t len)
{
	void *kept = *at;
	memcpy(kept, from, len);
	*at += len;
	return kept;
}

static struct op *make_waiting_op(const struct kafka_message *message, kafka_delivered *done, void *ctx)
{
	struct kafka_message copy = *message;
	struct cloudevent event = *message->event;
	const char **const texts[] = {&copy.topic,    &event.id,   &event.type, &event.source,
								  &event.subject, &event.time, &event.hash, &event.traceparent};
	size_t sizes[ARRAY_LEN(texts)], room = copy.key_len + (copy.data_stays ? 0 : copy.data_len);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		room += sizes[i] = *texts[i] != NULL ? strlen(*texts[i]) + 1 : 0;

	struct op *op = make_op(room, done, ctx);
	char *at = op->room;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (sizes[i] > 0)
			*texts[i] = keep(&at, *texts[i], sizes[i]);
	}
	if (copy.key_len > 0)
		copy.key = keep(&at, copy.key, copy.key_len);
	if (copy.data_len > 0 && !copy.data_stays)
		copy.data = keep(&at, copy.data, copy.data_len);
	op->since_ms = clock_boot_ms();
	copy.event = &op->event;
	op->message = copy;
	op->event = event;
	return op;
}

static void end_op(struct op *op, const struct kafka_delivery *delivery)
{
	if (op->done != NULL)
		op->done(op->ctx, delivery);
	free(op);
}

static void end_unsent_op(struct op *op, enum error_kind outcome, const char *reason)
{
	end_op(op, &(struct kafka_delivery){.outcome = outcome, .partition = -1, .offset = -1, .reason = reason});
}

/* Under the lock. */
static struct burst *begin_burst(struct bursts *bursts, struct lane *lane, size_t len)
{
	struct burst *burst = xmalloc(sizeof(*burst));
	*burst = (struct burst){.bursts = bursts, .lane = lane, .left = len};
	lane->under_way++;
	return burst;
}

/* Under the lock: all that wait in a lane, to `list`. */
static void take_waiting(struct bursts *bursts, struct lane *lane, struct list_node *list)
{
	struct list_node *node;
	while ((node = list_pop(&lane->waiting)) != NULL)
		list_append(list, node);
	bursts->waiting_len -= lane->waiting_len;
	bursts->waiting_bytes -= lane->waiting_bytes;
	lane->waiting_len = lane->waiting_bytes = 0;
}

enum end { ACKNOWLEDGED, FAILED, REFUSED };

/* One of the burst has its end. Was it the last, then the burst is over and all that wait are moved to `list`: returns
 * the burst that they are, NULL when they shall fail. */
static struct burst *end_one(struct burst *burst, enum end end, struct list_node *list)
{
	struct bursts *bursts = burst->bursts;
	struct lane *lane = burst->lane;
	struct burst *next = burst;
	lock(bursts);
	burst->acknowledged |= end == ACKNOWLEDGED;
	burst->failed |= end == FAILED;
	if (--burst->left == 0) {
		bool fails = burst->failed && !burst->acknowledged;
		free(burst);
		lane->under_way--;
		next = lane->waiting_len > 0 && !fails ? begin_burst(bursts, lane, lane->waiting_len) : NULL;
		take_waiting(bursts, lane, list);
	}
	unlock(bursts);
	return next;
}

/* The producer's thread. */
static void on_delivered(void *ctx, const struct kafka_delivery *delivery);

static int send_op(struct op *op, struct error *err)
{
	struct bursts *bursts = op->burst->bursts;
	if (clock_boot_ms() - op->since_ms > bursts->limits.waiting_ms)
		return error_set(err, ERR_UNAVAILABLE, "kafka: %s: the messages before it took too long", op->message.topic);
	return kafka_produce(bursts->producer, &op->message, on_delivered, op, err);
}

/* Sends the list, all of one burst; or fails it, when there is no burst. Where kafka_produce refuses all the rest, the
 * burst ends here and the next one is sent. */
static void send_burst(struct burst *burst, struct list_node *list)
{
	struct list_node *node;
	while ((node = list_pop(list)) != NULL) {
		struct op *op = LIST_ITEM(node, struct op, node);
		if (burst == NULL) {
			end_unsent_op(op, ERR_UNAVAILABLE, "the messages before it failed");
			continue;
		}
		struct error err = ERROR_INIT;
		op->burst = burst;
		if (send_op(op, &err) < 0) {
			end_unsent_op(op, err.kind, err.message);
			burst = end_one(burst, REFUSED, list); /* adds to the list only when this was its last */
		}
	}
}

static void on_delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct op *op = ctx;
	struct list_node list;
	list_init(&list);
	struct burst *burst = end_one(op->burst, delivery->outcome == ERR_NONE ? ACKNOWLEDGED : FAILED, &list);
	end_op(op, delivery);
	send_burst(burst, &list);
}

static int send_at_once(struct burst *burst, const struct kafka_message *message, kafka_delivered *done, void *ctx,
						struct error *err)
{
	struct op *op = make_op(0, done, ctx);
	op->burst = burst;
	if (kafka_produce(burst->bursts->producer, message, on_delivered, op, err) == 0)
		return 0;
	free(op);
	struct list_node list;
	list_init(&list);
	burst = end_one(burst, REFUSED, &list);
	send_burst(burst, &list); /* nobody else does when this was the last under way */
	return -1;
}

/* Under the lock. */
static int wait_for_turn(struct bursts *bursts, struct lane *lane, const struct kafka_message *message,
						 kafka_delivered *done, void *ctx, struct error *err)
{
	size_t bytes = message->key_len + message->data_len;
	if (bursts->waiting_len >= bursts->limits.waiting || bytes > bursts->limits.waiting_bytes - bursts->waiting_bytes)
		return error_set(err, ERR_LIMIT, "kafka: %s: too many messages wait", message->topic);
	list_append(&lane->waiting, &make_waiting_op(message, done, ctx)->node);
	bursts->waiting_len++;
	bursts->waiting_bytes += bytes;
	lane->waiting_len++;
	lane->waiting_bytes += bytes;
	return 0;
}

/* Of a topic that is not ours only the caller can know the partition. */
static struct lane *lane_of(struct bursts *bursts, const struct kafka_message *message)
{
	int32_t partition = message->partition;
	const struct topic *topic = partition < 0 ? topic_find(message->topic) : NULL;
	if (topic != NULL)
		partition = topic_partition(topic, message->key, message->key_len);
	return &bursts->lanes[partition < 0 ? 0 : partition % LANES];
}

int bursts_produce(struct bursts *bursts, const struct kafka_message *message, kafka_delivered *done, void *ctx,
				   struct error *err)
{
	CHECK(message->headers == NULL && message->generation == 0);
	struct burst *burst = NULL;
	struct lane *lane = lane_of(bursts, message);
	int result = 0;
	lock(bursts);
	if (lane->under_way < bursts->limits.under_way)
		burst = begin_burst(bursts, lane, 1);
	else
		result = wait_for_turn(bursts, lane, message, done, ctx, err);
	unlock(bursts);
	return burst == NULL ? result : send_at_once(burst, message, done, ctx, err);
}
