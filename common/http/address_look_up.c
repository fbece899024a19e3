#include "common/http/address_look_up.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"

#define STACK_BYTES ((size_t)256 * 1024)

/* Shared by who has asked and the thread; the last one frees it. */
struct address_look_up {
	pthread_mutex_t mutex;
	unsigned owners;
	int status; /* getaddrinfo's; read after `done` */
	struct addrinfo *found;
	struct wakeup done;
	char port[8];
	char host[]; /* NUL-terminated */
};

static atomic_int running;

void address_look_up_free(struct address_look_up *look_up)
{
	if (look_up == NULL)
		return;
	mutex_lock(&look_up->mutex);
	unsigned owners = --look_up->owners;
	mutex_unlock(&look_up->mutex);
	if (owners > 0)
		return;
	if (look_up->found != NULL)
		freeaddrinfo(look_up->found);
	wakeup_release(&look_up->done);
	(void)pthread_mutex_destroy(&look_up->mutex); /* nobody holds it */
	free(look_up);
}

static void *look_up_thread(void *ctx)
{
	struct address_look_up *look_up = ctx;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	int status = getaddrinfo(look_up->host, look_up->port, &hints, &found);
	mutex_lock(&look_up->mutex);
	look_up->status = status;
	look_up->found = status == 0 ? found : NULL;
	mutex_unlock(&look_up->mutex);
	atomic_fetch_sub(&running, 1); /* who is told may start another one */
	wakeup_signal(&look_up->done);
	address_look_up_free(look_up);
	return NULL;
}

static struct address_look_up *look_up_new(const char *host, int port)
{
	size_t len = strlen(host);
	struct address_look_up *look_up = xcalloc(1, sizeof(*look_up) + len + 1);

	memcpy(look_up->host, host, len + 1);
	(void)snprintf(look_up->port, sizeof(look_up->port), "%u", (unsigned)(uint16_t)port); /* fits: five digits */
	mutex_init(&look_up->mutex);
	wakeup_init(&look_up->done);
	look_up->owners = 2;
	return look_up;
}

int address_look_up_start(const char *host, int port, struct address_look_up **ret_look_up, struct error *err)
{
	if (atomic_fetch_add(&running, 1) >= ADDRESS_LOOK_UPS_MAX) {
		atomic_fetch_sub(&running, 1);
		return error_set(err, ERR_LIMIT, "%d names are being resolved already", ADDRESS_LOOK_UPS_MAX);
	}
	struct address_look_up *look_up = look_up_new(host, port);
	pthread_t thread;
	if (thread_start(&thread, "look-up", STACK_BYTES, look_up_thread, look_up, err) < 0) {
		atomic_fetch_sub(&running, 1);
		look_up->owners = 1;
		address_look_up_free(look_up);
		return error_prefix(err, "resolving %s", host);
	}
	thread_detach(thread);
	*ret_look_up = look_up;
	return 0;
}

int address_look_up_fd(const struct address_look_up *look_up)
{
	return look_up->done.fd;
}

int address_look_up_take(struct address_look_up *look_up, const struct address_guard *guard,
						 struct sockaddr_storage *ret_addresses, size_t max, size_t *ret_len, struct error *err)
{
	size_t len = 0;

	mutex_lock(&look_up->mutex);
	int status = look_up->status;
	const struct addrinfo *found = look_up->found;
	mutex_unlock(&look_up->mutex);
	if (status != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s does not resolve: %s", look_up->host, gai_strerror(status));
	for (; found != NULL && len < max; found = found->ai_next) {
		if (found->ai_addrlen <= sizeof(*ret_addresses) &&
			address_guard_permits(guard, look_up->host, found->ai_addr)) {
			memset(&ret_addresses[len], 0, sizeof(ret_addresses[len]));
			memcpy(&ret_addresses[len++], found->ai_addr, found->ai_addrlen);
		}
	}
	if (len == 0)
		return error_set(err, ERR_DENIED, "%s has no public address, and the allow-list does not name it",
						 look_up->host);
	*ret_len = len;
	return 0;
}
