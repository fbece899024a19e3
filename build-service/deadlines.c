#include "build-service/deadlines.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/mutex.h"

/* Assignments without an answer; more cannot be outstanding than there are slots. */
#define DEADLINES_MAX 1000000

struct deadline {
	struct deadlines *owner;
	struct fencing_token token;
	struct addressee worker;
	bool in_flight; /* the producer will report */
	bool unsent;    /* it had no room */
	bool dropped;   /* and then nobody needs it */
	int64_t due_ms;
};

struct deadlines {
	pthread_mutex_t lock;
	int64_t accept_ms;
	struct map *by_lease;
	size_t unsent; /* of them */
};

struct deadlines *deadlines_new(int64_t accept_ms)
{
	struct deadlines *deadlines = xcalloc(1, sizeof(*deadlines));
	mutex_init(&deadlines->lock);
	deadlines->accept_ms = accept_ms;
	deadlines->by_lease = map_new(DEADLINES_MAX, free);
	return deadlines;
}

void deadlines_free(struct deadlines *deadlines)
{
	if (deadlines == NULL)
		return;
	map_free(deadlines->by_lease);
	(void)pthread_mutex_destroy(&deadlines->lock); /* nobody holds it */
	free(deadlines);
}

static struct deadline *add_locked(struct deadlines *deadlines, const struct fencing_token *token,
								   const struct addressee *worker)
{
	struct deadline *deadline = xcalloc(1, sizeof(*deadline));
	*deadline = (struct deadline){.owner = deadlines, .token = *token, .worker = *worker};
	CHECK(map_set(deadlines->by_lease, token->lease_id, strlen(token->lease_id), deadline) == 0);
	return deadline;
}

struct deadline *deadlines_add(struct deadlines *deadlines, const struct fencing_token *token,
							   const struct addressee *worker)
{
	mutex_lock(&deadlines->lock);
	struct deadline *deadline = add_locked(deadlines, token, worker);
	deadline->in_flight = true;
	mutex_unlock(&deadlines->lock);
	return deadline;
}

/* Under the lock, and taken out of the map. */
static void forget(struct deadline *deadline)
{
	deadline->owner->unsent -= deadline->unsent;
	free(deadline);
}

const struct fencing_token *deadline_token(const struct deadline *deadline)
{
	return &deadline->token;
}

const struct addressee *deadline_worker(const struct deadline *deadline)
{
	return &deadline->worker;
}

void deadline_sent(struct deadline *deadline)
{
	struct deadlines *deadlines = deadline->owner;
	mutex_lock(&deadlines->lock);
	deadline->in_flight = false;
	deadline->due_ms = clock_boot_ms() + deadlines->accept_ms;
	if (deadline->dropped)
		free(deadline);
	mutex_unlock(&deadlines->lock);
}

void deadline_unsent(struct deadline *deadline)
{
	struct deadlines *deadlines = deadline->owner;
	mutex_lock(&deadlines->lock);
	deadline->in_flight = false;
	deadline->unsent = true;
	deadlines->unsent++;
	if (deadline->dropped)
		forget(deadline);
	mutex_unlock(&deadlines->lock);
}

size_t deadlines_unsent(struct deadlines *deadlines, struct fencing_token *ret_tokens, size_t max)
{
	size_t len = 0;
	mutex_lock(&deadlines->lock);
	for (struct map_iter it = {0}; len < max && len < deadlines->unsent && map_next(deadlines->by_lease, &it);) {
		const struct deadline *deadline = it.value;
		if (deadline->unsent)
			ret_tokens[len++] = deadline->token;
	}
	mutex_unlock(&deadlines->lock);
	return len;
}

struct deadline *deadlines_again(struct deadlines *deadlines, const char *lease_id)
{
	mutex_lock(&deadlines->lock);
	struct deadline *deadline = map_get_str(deadlines->by_lease, lease_id);
	if (deadline != NULL && deadline->unsent) {
		deadline->unsent = false;
		deadline->in_flight = true;
		deadlines->unsent--;
	} else {
		deadline = NULL;
	}
	mutex_unlock(&deadlines->lock);
	return deadline;
}

void deadlines_start(struct deadlines *deadlines, const struct fencing_token *token, const struct addressee *worker)
{
	mutex_lock(&deadlines->lock);
	if (map_get_str(deadlines->by_lease, token->lease_id) == NULL) {
		struct deadline *deadline = add_locked(deadlines, token, worker);
		deadline->due_ms = clock_boot_ms() + deadlines->accept_ms;
	}
	mutex_unlock(&deadlines->lock);
}

void deadlines_drop(struct deadlines *deadlines, const char *lease_id)
{
	mutex_lock(&deadlines->lock);
	struct deadline *deadline = map_take(deadlines->by_lease, lease_id, strlen(lease_id));
	if (deadline != NULL && deadline->in_flight)
		deadline->dropped = true;
	else if (deadline != NULL)
		forget(deadline);
	mutex_unlock(&deadlines->lock);
}

size_t deadlines_overdue(struct deadlines *deadlines, size_t skip, struct overdue *ret_overdue, size_t max)
{
	size_t len = 0;
	int64_t now_ms = clock_boot_ms();
	mutex_lock(&deadlines->lock);
	for (struct map_iter it = {0}; len < max && map_next(deadlines->by_lease, &it);) {
		const struct deadline *deadline = it.value;
		if (deadline->in_flight || deadline->unsent || deadline->due_ms > now_ms)
			continue;
		if (skip > 0)
			skip--;
		else
			ret_overdue[len++] = (struct overdue){.token = deadline->token, .worker = deadline->worker};
	}
	mutex_unlock(&deadlines->lock);
	return len;
}
