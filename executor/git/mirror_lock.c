#include "executor/git/mirror_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/ids.h"

#define USE_FILE "kiln-use"
#define FETCH_FILE "kiln-fetch"
#define PACK_FILE "kiln-pack"
#define POLL_MS 20
#define USE_WAIT_MS 5000 /* for who holds it while he renames a directory */

static int open_file(const char *path, const char *name)
{
	CLEANUP(free_p) char *file = xasprintf("%s/%s", path, name);
	return open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
}

/* flock has no time-out, hence the polling; the interrupt descriptor ends it early. Whom it does not interrupt leaves it
 * readable. */
static int wait_for_lock(int fd, int operation, const struct git_remote *remote, int64_t deadline_ms, struct error *err)
{
	bool watch = remote != NULL && remote->interrupted != NULL;
	while (flock(fd, operation | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set_errno(err, errno, "lock of the mirror");
		if (clock_boot_ms() >= deadline_ms)
			return error_set(err, ERR_TIMEOUT, "another build has held the mirror of this repository for too long");
		struct pollfd ready = {.fd = watch ? remote->interrupt_fd : -1, .events = POLLIN};
		if (poll(&ready, 1, POLL_MS) > 0 && watch && remote->interrupted(remote->interrupt_ctx))
			return error_set(err, ERR_CANCELLED, "cancelled");
	}
	return 0;
}

static int take(const char *path, const char *name, int operation, const struct git_remote *remote, int64_t deadline_ms,
				int *ret_fd, struct error *err)
{
	CLEANUP(close_p) int fd = open_file(path, name);
	if (fd < 0)
		return error_set_errno(err, errno, "lock of the mirror");
	if (wait_for_lock(fd, operation, remote, deadline_ms, err) < 0)
		return -1;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Who has waited for a lock may have it of a mirror that was moved away meanwhile. */
static bool is_in(const char *path, int use_fd)
{
	CLEANUP(free_p) char *file = xasprintf("%s/" USE_FILE, path);
	struct stat ours, there;
	CHECK(fstat(use_fd, &ours) == 0);
	return stat(file, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int take_shared(const char *path, int64_t deadline_ms, int *ret_fd, struct error *err)
{
	CLEANUP(close_p) int fd = -1;
	if (take(path, USE_FILE, LOCK_SH, NULL, deadline_ms, &fd, err) < 0)
		return -1;
	if (!is_in(path, fd))
		return error_set(err, ERR_NOT_FOUND, "the mirror was moved away");
	*ret_fd = fd_take(&fd);
	return 0;
}

int mirror_lock_use(const char *path, int *ret_fd, struct error *err)
{
	int fd = -1;
	if (take_shared(path, clock_boot_ms() + USE_WAIT_MS, &fd, err) < 0)
		return -1;
	(void)futimens(fd, NULL); /* our own file; otherwise it goes earlier than it should, and comes again */
	*ret_fd = fd;
	return 0;
}

int mirror_lock_stay(const char *path, int *ret_fd, struct error *err)
{
	return take_shared(path, clock_boot_ms(), ret_fd, err);
}

static int64_t time_us(int fd)
{
	struct stat info;
	return fd < 0 || fstat(fd, &info) < 0 ? 0 : (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
}

int64_t mirror_last_used_us(const char *path)
{
	CLEANUP(close_p) int fd = open_file(path, USE_FILE); /* one of an older release, without it, counts from now */
	return time_us(fd);
}

int mirror_lock_fetch(const char *path, const struct git_remote *remote, int64_t deadline_ms, int *ret_fd,
					  struct error *err)
{
	return take(path, FETCH_FILE, LOCK_EX, remote, deadline_ms, ret_fd, err);
}

/* A new file says that nobody has looked yet, whoever makes it. */
static int open_pack_file(const char *path)
{
	CLEANUP(free_p) char *file = xasprintf("%s/" PACK_FILE, path);
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0)
		mirror_set_packed_us(fd, 0);
	return fd >= 0 || errno != EEXIST ? fd : open_file(path, PACK_FILE);
}

int mirror_lock_pack(const char *path, int *ret_fd, struct error *err)
{
	CLEANUP(close_p) int fd = open_pack_file(path);
	if (fd < 0)
		return error_set_errno(err, errno, "lock of the mirror");
	if (wait_for_lock(fd, LOCK_EX, NULL, clock_boot_ms(), err) < 0)
		return -1;
	*ret_fd = fd_take(&fd);
	return 0;
}

int64_t mirror_packed_us(const char *path)
{
	CLEANUP(free_p) char *file = xasprintf("%s/" PACK_FILE, path);
	CLEANUP(close_p) int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return time_us(fd);
}

void mirror_set_packed_us(int pack_fd, int64_t time_us)
{
	const struct timespec then = {.tv_sec = time_us / 1000000, .tv_nsec = time_us % 1000000 * 1000};
	const struct timespec times[2] = {then, then};
	(void)futimens(pack_fd, times); /* our own file; otherwise it is looked at once more or less */
}

int mirror_retire(const char *path, const char *state_dir, int *use_fd, struct error *err)
{
	CLEANUP(close_p) int fd = *use_fd >= 0 ? fd_take(use_fd) : open_file(path, USE_FILE);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "lock of the mirror");
	/* A shared lock is lost before the exclusive one is there: another attempt may be first, and have made a new mirror
	 * since. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? error_set(err, ERR_CONFLICT, "other builds use the mirror")
									: error_set_errno(err, errno, "lock of the mirror");
	if (!is_in(path, fd))
		return 0;
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(free_p) char *trash = xasprintf("%s/trash/mirror-%s", state_dir, id);
	if (rename(path, trash) < 0)
		return error_set_errno(err, errno, "mirror to be removed");
	return 0;
}
