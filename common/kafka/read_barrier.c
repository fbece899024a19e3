#include "common/kafka/read_barrier.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/ids.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/kafka/topics.h"

static struct metric sent_total = {.kind = METRIC_COUNTER,
								   .name = "kiln_kafka_read_barriers_total",
								   .help = "Records that were written to learn the end of a partition."};

/* A partition. Its records are numbered from 1, in the order in which they are sent: the ticket of who asks is the
 * number of the next one. */
struct line {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct kafka_op op;
	uint64_t sent;           /* the last one */
	uint64_t ended;          /* is `sent` unless it is under way */
	uint64_t acked;          /* the last one that was */
	int64_t end;             /* where that lies */
	int64_t sent_ms;         /* 0: none was, and the machine runs for longer than a pause */
	enum error_kind outcome; /* of `ended` */
	char reason[128];
};

struct read_barriers {
	struct kafka_producer *producer;
	const struct topic *topic;
	const char *source;
	int32_t len;
	struct line lines[];
};

static void register_metric(void)
{
	metric_register(&sent_total);
}

struct read_barriers *read_barriers_new(struct kafka_producer *producer, const char *topic, const char *source)
{
	const struct topic *known = topic_find(topic);
	CHECK(known != NULL);
	int32_t len = known->partitions;
	struct read_barriers *barriers = xcalloc(1, sizeof(*barriers) + (size_t)len * sizeof(barriers->lines[0]));
	barriers->producer = producer;
	barriers->topic = known;
	barriers->source = source;
	barriers->len = len;
	for (int32_t i = 0; i < len; i++) {
		struct line *line = &barriers->lines[i];
		mutex_init(&line->lock);
		cond_init(&line->changed);
	}
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metric) == 0);
	return barriers;
}

void read_barriers_free(struct read_barriers *barriers)
{
	for (int32_t i = 0; barriers != NULL && i < barriers->len; i++) {
		(void)pthread_cond_destroy(&barriers->lines[i].changed); /* nobody waits */
		(void)pthread_mutex_destroy(&barriers->lines[i].lock);   /* nobody holds it */
	}
	free(barriers);
}

/* The producer's thread. */
static void delivered(void *ctx, const struct kafka_delivery *delivery)
{
	struct line *line = ctx;
	mutex_lock(&line->lock);
	line->ended = line->sent;
	line->outcome = delivery->outcome;
	if (delivery->outcome == ERR_NONE) {
		line->acked = line->sent;
		line->end = delivery->offset;
	} else {
		(void)snprintf(line->reason, sizeof(line->reason), "%s", delivery->reason); /* may be cut */
	}
	CHECK(pthread_cond_broadcast(&line->changed) == 0);
	mutex_unlock(&line->lock);
}

/* With the lock, which the report waits for. */
static int send_one(struct read_barriers *barriers, struct line *line, struct error *err)
{
	char id[UUID_TEXT_SIZE], data[32];
	int32_t partition = (int32_t)(line - barriers->lines);
	uuid_v4(id);
	int len = snprintf(data, sizeof(data), "{\"partition\":%d}", partition);
	const struct cloudevent event = {.id = id, .type = "read.barrier", .source = barriers->source};
	const struct kafka_message message = {
		.topic = barriers->topic->name, .partition = partition, .data = data, .data_len = (size_t)len, .event = &event};
	line->op = (struct kafka_op){.done = delivered, .ctx = line};
	if (kafka_produce_op(barriers->producer, &message, &line->op, err) < 0)
		return -1;
	line->sent++;
	line->sent_ms = clock_boot_ms();
	metric_add(&sent_total, 1);
	return 0;
}

/* With the lock: when the next one may be sent, from now. */
static int due_ms(const struct line *line)
{
	return line->ended < line->sent ? INT_MAX : clock_left_ms(line->sent_ms + READ_BARRIER_PAUSE_MS);
}

struct read_barrier read_barrier_ask(struct read_barriers *barriers, int32_t partition)
{
	CHECK(partition >= 0 && partition < barriers->len);
	struct line *line = &barriers->lines[partition];
	struct error ignored = ERROR_INIT; /* who waits tries again, and is told */
	mutex_lock(&line->lock);
	struct read_barrier barrier = {.partition = partition, .ticket = line->sent + 1};
	if (due_ms(line) <= 0)
		(void)send_one(barriers, line, &ignored);
	mutex_unlock(&line->lock);
	return barrier;
}

/* With the lock: until that one has ended. As read_barrier_wait. */
static int wait_ended(struct read_barriers *barriers, struct line *line, uint64_t ticket, int64_t deadline_ms,
					  struct error *err)
{
	while (line->ended < ticket) {
		int next_ms = line->sent < ticket ? due_ms(line) : INT_MAX;
		if (next_ms <= 0 && send_one(barriers, line, err) < 0)
			return -1;
		int left_ms = clock_left_ms(deadline_ms);
		if (left_ms <= 0)
			return 0;
		struct timespec until = cond_deadline(next_ms > 0 && next_ms < left_ms ? next_ms : left_ms);
		(void)cond_wait_until(&line->changed, &line->lock, &until); /* looked at above */
	}
	return 1;
}

int read_barrier_wait(struct read_barriers *barriers, const struct read_barrier *barrier, int64_t deadline_ms,
					  int64_t *ret_end, struct error *err)
{
	struct line *line = &barriers->lines[barrier->partition];
	mutex_lock(&line->lock);
	int rc = wait_ended(barriers, line, barrier->ticket, deadline_ms, err);
	if (rc > 0 && line->acked >= barrier->ticket) /* a later one's end is as good */
		*ret_end = line->end;
	else if (rc > 0)
		rc = error_set(err, line->outcome, "kafka: %s: %s", barriers->topic->name, line->reason);
	mutex_unlock(&line->lock);
	return rc;
}
