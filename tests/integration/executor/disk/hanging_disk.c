/*
 * Preloaded into the daemon, whose children do not have it: whatever writes to a directory, or waits for the disk, takes
 * as long as there is a file KILN_TEST_DISK_HANGS.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 10

static void *after_the_disk(const char *function)
{
	const char *path = getenv("KILN_TEST_DISK_HANGS");
	if (path == NULL)
		abort(); /* a test without it would show nothing */
	while (access(path, F_OK) == 0)
		(void)poll(NULL, 0, LOOK_MS); /* the rest of this process goes on */
	return dlsym(RTLD_NEXT, function);
}

int fsync(int fd)
{
	int (*real)(int);
	*(void **)&real = after_the_disk("fsync");
	return real(fd);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *);
	*(void **)&real = after_the_disk("rename");
	return real(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	int (*real)(int, const char *, int, const char *);
	*(void **)&real = after_the_disk("renameat");
	return real(from_fd, from, to_fd, to);
}

int unlink(const char *path)
{
	int (*real)(const char *);
	*(void **)&real = after_the_disk("unlink");
	return real(path);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
	int (*real)(int, const char *, int);
	*(void **)&real = after_the_disk("unlinkat");
	return real(dir_fd, path, flags);
}

int chmod(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t);
	*(void **)&real = after_the_disk("chmod");
	return real(path, mode);
}
