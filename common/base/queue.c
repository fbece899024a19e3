#include "common/base/queue.h"

#include <pthread.h>

#include "common/base/alloc.h"
#include "common/base/cond.h"
#include "common/base/mutex.h"

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t not_empty; /* also signalled by close */
	size_t max, len, first;
	bool closed;
	void *values[]; /* ring */
};

struct queue *queue_new(size_t max)
{
	CHECK(max > 0 && max < SIZE_MAX / (2 * sizeof(void *)));
	struct queue *queue = xcalloc(1, sizeof(*queue) + max * sizeof(void *));
	queue->max = max;
	mutex_init(&queue->mutex);
	cond_init(&queue->not_empty);
	return queue;
}

void queue_free(struct queue *queue)
{
	if (queue == NULL)
		return;
	(void)pthread_cond_destroy(&queue->not_empty); /* cannot fail in glibc */
	CHECK(pthread_mutex_destroy(&queue->mutex) == 0);
	free(queue);
}

size_t queue_try_push_many(struct queue *queue, void *const *values, size_t count)
{
	mutex_lock(&queue->mutex);
	size_t room = queue->closed ? 0 : queue->max - queue->len;
	size_t pushed = count < room ? count : room;
	for (size_t i = 0; i < pushed; i++) {
		CHECK(values[i] != NULL); /* NULL is queue_pop's "nothing" */
		queue->values[(queue->first + queue->len++) % queue->max] = values[i];
	}
	if (pushed == 1)
		CHECK(pthread_cond_signal(&queue->not_empty) == 0);
	else if (pushed > 1)
		CHECK(pthread_cond_broadcast(&queue->not_empty) == 0);
	mutex_unlock(&queue->mutex);
	return pushed;
}

bool queue_try_push(struct queue *queue, void *value)
{
	return queue_try_push_many(queue, &value, 1) == 1;
}

static void wait_for_one(struct queue *queue, int timeout_ms)
{
	struct timespec until = cond_deadline(timeout_ms);
	while (queue->len == 0 && !queue->closed && cond_wait_until(&queue->not_empty, &queue->mutex, &until))
		;
}

size_t queue_pop_many(struct queue *queue, int timeout_ms, void **ret_values, size_t max)
{
	size_t count = 0;
	mutex_lock(&queue->mutex);
	if (queue->len == 0 && !queue->closed && timeout_ms > 0)
		wait_for_one(queue, timeout_ms);
	while (count < max && queue->len > 0) {
		ret_values[count++] = queue->values[queue->first];
		queue->first = (queue->first + 1) % queue->max;
		queue->len--;
	}
	mutex_unlock(&queue->mutex);
	return count;
}

void *queue_pop(struct queue *queue, int timeout_ms)
{
	void *value = NULL;
	return queue_pop_many(queue, timeout_ms, &value, 1) == 1 ? value : NULL;
}

void queue_close(struct queue *queue)
{
	mutex_lock(&queue->mutex);
	queue->closed = true;
	CHECK(pthread_cond_broadcast(&queue->not_empty) == 0);
	mutex_unlock(&queue->mutex);
}

bool queue_closed(struct queue *queue)
{
	mutex_lock(&queue->mutex);
	bool closed = queue->closed;
	mutex_unlock(&queue->mutex);
	return closed;
}
