#include "common/base/wakeup.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"

void wakeup_init(struct wakeup *wakeup)
{
	wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(wakeup->fd >= 0);
}

void wakeup_release(struct wakeup *wakeup)
{
	if (wakeup->fd >= 0)
		(void)close(wakeup->fd); /* nothing is written behind */
	wakeup->fd = -1;
}

void wakeup_signal(struct wakeup *wakeup)
{
	int saved_errno = errno;
	uint64_t one = 1;
	(void)!write(wakeup->fd, &one, sizeof(one)); /* EAGAIN: the counter is full, so it is signalled already */
	errno = saved_errno;
}

static bool take(struct wakeup *wakeup)
{
	uint64_t count;
	return read(wakeup->fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

bool wakeup_wait(struct wakeup *wakeup, int timeout_ms)
{
	CHECK(timeout_ms >= 0);
	int64_t deadline_ms = clock_boot_ms() + timeout_ms;
	for (;;) {
		struct pollfd ready = {.fd = wakeup->fd, .events = POLLIN};
		int count = poll(&ready, 1, clock_left_ms(deadline_ms));
		CHECK(count >= 0 || errno == EINTR);
		if (count > 0 && take(wakeup))
			return true;
		if (clock_left_ms(deadline_ms) == 0)
			return take(wakeup);
	}
}

void wakeup_clear(struct wakeup *wakeup)
{
	(void)take(wakeup); /* either way it is clear now */
}
