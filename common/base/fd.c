#include "common/base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define CHUNK_BYTES ((size_t)65536)

ssize_t fd_read_up_to(int fd, void *ret, size_t size)
{
	size_t len = 0;
	while (len < size) {
		ssize_t got = read(fd, (char *)ret + len, size - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

int fd_read_all(int fd, struct buffer *out, struct error *err)
{
	for (;;) {
		char beyond = 0; /* a full buffer: one byte more would be too many */
		size_t left = out->max - out->len, size = left < CHUNK_BYTES ? left : CHUNK_BYTES;
		char *room = size > 0 ? buffer_reserve(out, size) : &beyond;
		CHECK(room != NULL); /* it was not given a buffer that has overflowed */
		ssize_t got = fd_read_up_to(fd, room, size > 0 ? size : sizeof(beyond));
		if (got < 0)
			return error_set_errno(err, errno, "it cannot be read");
		if (size == 0)
			return got == 0 ? 0 : error_set(err, ERR_LIMIT, "it has more than %zu bytes", out->max);
		buffer_commit(out, (size_t)got);
		if ((size_t)got < size)
			return 0;
	}
}

int fd_of_bytes(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	/* Sealed: whoever is given it could take memory by it that is counted as nobody's. A descriptor that only reads
	 * would not do, for /proc/self/fd opens the file again. */
	if (fd_write_all(fd, data, len) == 0 && lseek(fd, 0, SEEK_SET) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	int saved = errno;
	(void)close(fd); /* the error above is the one to tell */
	errno = saved;
	return -1;
}
