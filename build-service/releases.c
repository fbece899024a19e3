#include "build-service/releases.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#define WAITING_MAX 1024

struct releases {
	struct kafka_producer *producer;
	pthread_mutex_t lock;
	struct command_list waiting, going; /* in the order of their coming; `going` is empty between calls */
	int64_t due_ms;                     /* of the first that waits, INT64_MAX = there are none */
};

struct releases *releases_new(struct kafka_producer *producer)
{
	struct releases *releases = xcalloc(1, sizeof(*releases));
	releases->producer = producer;
	releases->due_ms = INT64_MAX;
	CHECK(pthread_mutex_init(&releases->lock, NULL) == 0);
	return releases;
}

static void send_all(struct releases *releases)
{
	commands_send(releases->producer, &releases->waiting);
	releases->due_ms = INT64_MAX;
}

void releases_free(struct releases *releases)
{
	send_all(releases);
	command_list_release(&releases->waiting);
	command_list_release(&releases->going);
	(void)pthread_mutex_destroy(&releases->lock); /* nobody holds it */
	free(releases);
}

void releases_take(struct releases *releases, struct command_list *list)
{
	size_t kept = 0;
	CHECK(pthread_mutex_lock(&releases->lock) == 0);
	for (size_t i = 0; i < list->len; i++) {
		if (list->items[i].kind == COMMAND_RELEASED)
			command_list_add(&releases->waiting, &list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->len = kept;
	if (releases->waiting.len > WAITING_MAX)
		send_all(releases);
	else if (releases->waiting.len > 0 && releases->due_ms == INT64_MAX)
		releases->due_ms = clock_boot_ms() + RELEASES_PATIENCE_MS;
	CHECK(pthread_mutex_unlock(&releases->lock) == 0);
}

void releases_follow(struct releases *releases, const char *worker_id)
{
	struct command_list *waiting = &releases->waiting;
	size_t kept = 0;
	CHECK(pthread_mutex_lock(&releases->lock) == 0);
	for (size_t i = 0; i < waiting->len; i++) {
		if (str_equal(waiting->items[i].to.worker_id, worker_id))
			command_list_add(&releases->going, &waiting->items[i]);
		else
			waiting->items[kept++] = waiting->items[i];
	}
	waiting->len = kept;
	if (kept == 0)
		releases->due_ms = INT64_MAX;
	commands_send(releases->producer, &releases->going);
	CHECK(pthread_mutex_unlock(&releases->lock) == 0);
}

void releases_tick(struct releases *releases)
{
	CHECK(pthread_mutex_lock(&releases->lock) == 0);
	if (clock_boot_ms() >= releases->due_ms)
		send_all(releases);
	CHECK(pthread_mutex_unlock(&releases->lock) == 0);
}
