#include "common/base/fd.h"

#include <sys/mman.h>

int fd_of_bytes(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fd_write_all(fd, data, len) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	int saved = errno;
	(void)close(fd); /* the error above is the one to tell */
	errno = saved;
	return -1;
}
