/* Descriptors in scopes: `CLEANUP(close_p) int fd = open(…);` closes at the end unless fd_take gave it away. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

static inline void close_p(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* whoever needs to know whether data reached the disk calls fsync before */
	*fd = -1;
}

/* The descriptor, which is the caller's now. */
static inline int fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* All of it, to a file. -1: errno tells; some of it may have been written. */
MUST_CHECK
static inline int fd_write_all(int fd, const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t written = write(fd, at, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written == 0)
			errno = EIO;
		if (written <= 0)
			return -1;
		at += written;
		len -= (size_t)written;
	}
	return 0;
}

/* From where the file stands, until `size` bytes are there or it ends. Returns how many; -1: errno tells. */
ssize_t fd_read_up_to(int fd, void *ret, size_t size) MUST_CHECK;
/* Appends the rest of the file. ERR_LIMIT: it is larger than the buffer may become; else what errno says. After a
 * failure the buffer holds what was read before. */
int fd_read_all(int fd, struct buffer *out, struct error *err) MUST_CHECK;

/* A file in memory that holds these bytes, read from its beginning on, and that nobody can change any more, whoever
 * gets it; close-on-exec. `name` is for people who look at /proc. -1: errno tells. */
int fd_of_bytes(const char *name, const void *data, size_t len) MUST_CHECK;
