#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/mutex.h"
#include "common/kafka/producer.h"

/* Shared by the waiting caller and the delivery report: whoever is last frees it. */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	struct kafka_delivery place; /* without the reason */
	char reason[128];
	_Atomic int references;
};

static struct waiter *waiter_new(void)
{
	struct waiter *waiter = xcalloc(1, sizeof(*waiter));
	cond_init(&waiter->changed);
	mutex_init(&waiter->lock);
	waiter->references = 2;
	return waiter;
}

static void waiter_unref(struct waiter *waiter)
{
	if (atomic_fetch_sub(&waiter->references, 1) > 1)
		return;
	(void)pthread_cond_destroy(&waiter->changed); /* nobody waits */
	(void)pthread_mutex_destroy(&waiter->lock);   /* nobody holds it */
	free(waiter);
}

static void on_done(void *ctx, const struct kafka_delivery *delivery)
{
	struct waiter *waiter = ctx;
	mutex_lock(&waiter->lock);
	waiter->done = true;
	waiter->place = *delivery;
	waiter->place.reason = NULL;
	(void)snprintf(waiter->reason, sizeof(waiter->reason), "%s", delivery->reason); /* may be cut */
	CHECK(pthread_cond_signal(&waiter->changed) == 0);
	mutex_unlock(&waiter->lock);
	waiter_unref(waiter);
}

/* Waits a slice; the deadline itself is by CLOCK_BOOTTIME. */
static void wait_slice(struct waiter *waiter, int left_ms)
{
	struct timespec until = cond_deadline(left_ms);
	(void)cond_wait_until(&waiter->changed, &waiter->lock, &until); /* the caller looks at the state */
}

int kafka_produce_wait(struct kafka_producer *producer, const struct kafka_message *message, int64_t deadline_ms,
					   struct error *err)
{
	struct kafka_delivery place;
	return kafka_produce_wait_place(producer, message, deadline_ms, &place, err);
}

int kafka_produce_wait_place(struct kafka_producer *producer, const struct kafka_message *message, int64_t deadline_ms,
							 struct kafka_delivery *ret_place, struct error *err)
{
	struct waiter *waiter = waiter_new();
	if (kafka_produce(producer, message, on_done, waiter, err) < 0) {
		atomic_store(&waiter->references, 1); /* there will be no report */
		waiter_unref(waiter);
		return -1;
	}
	mutex_lock(&waiter->lock);
	for (int left_ms; !waiter->done && (left_ms = clock_left_ms(deadline_ms)) > 0;)
		wait_slice(waiter, left_ms);
	int result = 0;
	if (!waiter->done)
		result = error_set(err, ERR_TIMEOUT, "kafka: %s: no acknowledgement in time", message->topic);
	else if (waiter->place.outcome != ERR_NONE)
		result = error_set(err, waiter->place.outcome, "kafka: %s: %s", message->topic, waiter->reason);
	else
		*ret_place = waiter->place;
	mutex_unlock(&waiter->lock);
	waiter_unref(waiter);
	return result;
}
