#include "build-service/releases.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
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
	mutex_init(&releases->lock);
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

/* Releases (`worker_id` NULL), or those of one worker: from one list behind another. */
static void move(struct command_list *from, struct command_list *to, const char *worker_id)
{
	size_t kept = 0;
	for (size_t i = 0; i < from->len; i++) {
		const struct command *command = &from->items[i];
		if (command->kind == COMMAND_RELEASED && (worker_id == NULL || str_equal(command->to.worker_id, worker_id)))
			command_list_add(to, command);
		else
			from->items[kept++] = *command;
	}
	from->len = kept;
}

void releases_take(struct releases *releases, struct command_list *list)
{
	mutex_lock(&releases->lock);
	move(list, &releases->waiting, NULL);
	if (releases->waiting.len > WAITING_MAX)
		send_all(releases);
	else if (releases->waiting.len > 0 && releases->due_ms == INT64_MAX)
		releases->due_ms = clock_boot_ms() + RELEASES_PATIENCE_MS;
	mutex_unlock(&releases->lock);
}

void releases_follow(struct releases *releases, const char *worker_id)
{
	mutex_lock(&releases->lock);
	move(&releases->waiting, &releases->going, worker_id);
	if (releases->waiting.len == 0)
		releases->due_ms = INT64_MAX;
	commands_send(releases->producer, &releases->going);
	mutex_unlock(&releases->lock);
}

void releases_tick(struct releases *releases)
{
	mutex_lock(&releases->lock);
	if (clock_boot_ms() >= releases->due_ms)
		send_all(releases);
	mutex_unlock(&releases->lock);
}
