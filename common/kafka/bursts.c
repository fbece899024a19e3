#include "common/kafka/bursts.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/kafka/topics.h"

#define LANES 64

/* Of a partition: one that does not answer holds up its own messages only. */
struct lane {
	size_t under_way; /* bursts */
	size_t sent_len;  /* their messages that have no end yet */
	size_t waiting_len, waiting_bytes;
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

struct bursts *bursts_new(struct kafka_producer *producer, const struct bursts_limits *limits)
{
	CHECK(limits->under_way > 0);
	struct bursts *bursts = xcalloc(1, sizeof(*bursts));
	bursts->producer = producer;
	bursts->limits = *limits;
	for (size_t i = 0; i < LANES; i++)
		list_init(&bursts->lanes[i].waiting);
	mutex_init(&bursts->lock);
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

static void end_unsent(struct bursts_op *op, enum error_kind outcome, const char *reason)
{
	op->done(op->ctx, &(struct kafka_delivery){.outcome = outcome, .partition = -1, .offset = -1, .reason = reason});
}

/* Under the lock. */
static struct burst *begin_burst(struct bursts *bursts, struct lane *lane, size_t len)
{
	struct burst *burst = xmalloc(sizeof(*burst));
	*burst = (struct burst){.bursts = bursts, .lane = lane, .left = len};
	lane->under_way++;
	lane->sent_len += len;
	return burst;
}

static size_t bytes_of(const struct bursts_op *op)
{
	return op->message.key_len + op->message.data_len;
}

/* Under the lock: the first `len` that wait in a lane, to `list`. */
static void take_waiting(struct bursts *bursts, struct lane *lane, size_t len, struct list_node *list)
{
	for (size_t i = 0; i < len; i++) {
		struct list_node *node = list_pop(&lane->waiting);
		CHECK(node != NULL); /* waiting_len counts them */
		size_t bytes = bytes_of(LIST_ITEM(node, struct bursts_op, node));
		list_append(list, node);
		bursts->waiting_bytes -= bytes;
		lane->waiting_bytes -= bytes;
	}
	bursts->waiting_len -= len;
	lane->waiting_len -= len;
}

/* Under the lock: how many make the next burst. If it were all that wait, clients that ask again when they are answered
 * would make one large burst out of many, and the broker would have nothing to do while they do. */
static size_t share_of(const struct bursts *bursts, const struct lane *lane)
{
	size_t all = lane->sent_len + lane->waiting_len, most = bursts->limits.under_way;
	size_t share = (all + most - 1) / most;
	return share < lane->waiting_len ? share : lane->waiting_len;
}

enum end { ACKNOWLEDGED, FAILED, REFUSED };

/* One of the burst has its end. Was it the last, then the burst is over, and the next ones of those that wait are moved
 * to `list`: returns the burst that they are. NULL: all that wait are there, and shall fail. */
static struct burst *end_one(struct burst *burst, enum end end, struct list_node *list)
{
	struct bursts *bursts = burst->bursts;
	struct lane *lane = burst->lane;
	struct burst *next = burst;
	mutex_lock(&bursts->lock);
	burst->acknowledged |= end == ACKNOWLEDGED;
	burst->failed |= end == FAILED;
	lane->sent_len--;
	if (--burst->left == 0) {
		bool fails = burst->failed && !burst->acknowledged;
		size_t len = fails ? lane->waiting_len : share_of(bursts, lane);
		free(burst);
		lane->under_way--;
		take_waiting(bursts, lane, len, list);
		next = len > 0 && !fails ? begin_burst(bursts, lane, len) : NULL;
	}
	mutex_unlock(&bursts->lock);
	return next;
}

/* The producer's thread. */
static void on_delivered(void *ctx, const struct kafka_delivery *delivery);

static int hand_on(struct bursts_op *op, struct error *err)
{
	op->under_way = (struct kafka_op){.done = on_delivered, .ctx = op};
	return kafka_produce_op(op->burst->bursts->producer, &op->message, &op->under_way, err);
}

static int send_op(struct bursts_op *op, struct error *err)
{
	struct bursts *bursts = op->burst->bursts;
	if (clock_boot_ms() - op->since_ms > bursts->limits.waiting_ms)
		return error_set(err, ERR_UNAVAILABLE, "kafka: %s: the messages before it took too long", op->message.topic);
	return hand_on(op, err);
}

/* Sends the list, all of one burst; or fails it, when there is no burst. Where kafka_produce refuses all the rest, the
 * burst ends here and the next one is sent. */
static void send_burst(struct burst *burst, struct list_node *list)
{
	struct list_node *node;
	while ((node = list_pop(list)) != NULL) {
		struct bursts_op *op = LIST_ITEM(node, struct bursts_op, node);
		if (burst == NULL) {
			end_unsent(op, ERR_UNAVAILABLE, "the messages before it failed");
			continue;
		}
		struct error err = ERROR_INIT;
		op->burst = burst;
		if (send_op(op, &err) < 0) {
			end_unsent(op, err.kind, err.message);
			burst = end_one(burst, REFUSED, list); /* adds to the list only when this was its last */
		}
	}
}

static void on_delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct bursts_op *op = ctx;
	struct list_node list;
	list_init(&list);
	struct burst *burst = end_one(op->burst, delivery->outcome == ERR_NONE ? ACKNOWLEDGED : FAILED, &list);
	op->done(op->ctx, delivery); /* the caller may do away with it */
	send_burst(burst, &list);
}

static int send_at_once(struct bursts_op *op, struct error *err)
{
	struct burst *burst = op->burst;
	if (hand_on(op, err) == 0)
		return 0;
	struct list_node list;
	list_init(&list);
	burst = end_one(burst, REFUSED, &list);
	send_burst(burst, &list); /* nobody else does when this was the last under way */
	return -1;
}

/* Under the lock. */
static int wait_for_turn(struct bursts *bursts, struct lane *lane, struct bursts_op *op, struct error *err)
{
	const struct kafka_message *message = &op->message;
	size_t bytes = bytes_of(op);
	if (bursts->waiting_len >= bursts->limits.waiting || bytes > bursts->limits.waiting_bytes - bursts->waiting_bytes)
		return error_set(err, ERR_LIMIT, "kafka: %s: too many messages wait", message->topic);
	op->since_ms = clock_boot_ms();
	list_append(&lane->waiting, &op->node);
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

int bursts_produce(struct bursts *bursts, struct bursts_op *op, struct error *err)
{
	CHECK(op->done != NULL && op->message.data_stays && op->message.headers == NULL && op->message.generation == 0);
	struct burst *burst = NULL;
	struct lane *lane = lane_of(bursts, &op->message);
	int result = 0;
	mutex_lock(&bursts->lock);
	if (lane->under_way < bursts->limits.under_way)
		op->burst = burst = begin_burst(bursts, lane, 1);
	else
		result = wait_for_turn(bursts, lane, op, err);
	mutex_unlock(&bursts->lock);
	return burst == NULL ? result : send_at_once(op, err);
}
