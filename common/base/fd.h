/* Descriptors in scopes: `CLEANUP(close_p) int fd = open(…);` closes at the end unless fd_take gave it away. */
#pragma once

#include <unistd.h>

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
