/* address_guard_resolve: getaddrinfo has no deadline, so it runs on a thread that may outlive the call. */
#include "common/http/address_guard.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"

/* Shared by the caller and the thread; the last one frees it. */
struct look_up {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	unsigned owners;
	bool done;
	int status; /* getaddrinfo's */
	struct addrinfo *found;
	char port[8];
	char host[]; /* NUL-terminated */
};

static void look_up_give_up(struct look_up *look_up)
{
	pthread_mutex_lock(&look_up->mutex);
	unsigned owners = --look_up->owners;
	pthread_mutex_unlock(&look_up->mutex);
	if (owners > 0)
		return;
	if (look_up->found != NULL)
		freeaddrinfo(look_up->found);
	pthread_cond_destroy(&look_up->cond);
	pthread_mutex_destroy(&look_up->mutex);
	free(look_up);
}

static void *look_up_thread(void *ctx)
{
	struct look_up *look_up = ctx;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	int status = getaddrinfo(look_up->host, look_up->port, &hints, &found);
	pthread_mutex_lock(&look_up->mutex);
	look_up->status = status;
	look_up->found = status == 0 ? found : NULL;
	look_up->done = true;
	pthread_cond_signal(&look_up->cond);
	pthread_mutex_unlock(&look_up->mutex);
	look_up_give_up(look_up);
	return NULL;
}

static struct look_up *look_up_new(const char *host, int port)
{
	size_t len = strlen(host);
	struct look_up *look_up = xcalloc(1, sizeof(*look_up) + len + 1);
	pthread_condattr_t monotonic;

	memcpy(look_up->host, host, len + 1);
	(void)snprintf(look_up->port, sizeof(look_up->port), "%u", (unsigned)(uint16_t)port); /* fits: five digits */
	pthread_mutex_init(&look_up->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&look_up->cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
	look_up->owners = 2;
	return look_up;
}

static int look_up_start(struct look_up *look_up)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256UL * 1024);
	int status = pthread_create(&thread, &attr, look_up_thread, look_up);
	pthread_attr_destroy(&attr);
	return status;
}

static bool look_up_wait(struct look_up *look_up, int64_t deadline_ms)
{
	pthread_mutex_lock(&look_up->mutex);
	while (!look_up->done && clock_left_ms(deadline_ms) > 0) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		int64_t ns = until.tv_nsec + (int64_t)clock_left_ms(deadline_ms) * 1000000;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
		pthread_cond_timedwait(&look_up->cond, &look_up->mutex, &until);
	}
	bool done = look_up->done;
	pthread_mutex_unlock(&look_up->mutex);
	return done;
}

int address_guard_resolve(const struct address_guard *guard, const char *host, int port, int64_t deadline_ms,
						  char (*ret_addresses)[INET6_ADDRSTRLEN], size_t max, size_t *ret_len, struct error *err)
{
	struct look_up *look_up = look_up_new(host, port);
	size_t len = 0;
	int result = -1;

	int status = look_up_start(look_up);
	if (status != 0) {
		look_up->owners = 1;
		(void)error_set_errno(err, status, "cannot start a thread to resolve %s", host); /* result is -1 already */
		goto out;
	}
	if (!look_up_wait(look_up, deadline_ms)) {
		(void)error_set(err, ERR_UNAVAILABLE, "%s does not resolve in time", host);
		goto out;
	}
	if (look_up->status != 0) {
		(void)error_set(err, ERR_UNAVAILABLE, "%s does not resolve: %s", host, gai_strerror(look_up->status));
		goto out;
	}
	for (const struct addrinfo *found = look_up->found; found != NULL && len < max; found = found->ai_next) {
		if (!address_guard_permits(guard, host, found->ai_addr))
			continue;
		if (getnameinfo(found->ai_addr, found->ai_addrlen, ret_addresses[len], INET6_ADDRSTRLEN, NULL, 0,
						NI_NUMERICHOST) == 0)
			len++;
	}
	if (len == 0) {
		(void)error_set(err, ERR_DENIED, "%s has no public address, and the allow-list does not name it", host);
		goto out;
	}
	*ret_len = len;
	result = 0;
out:
	look_up_give_up(look_up);
	return result;
}
