#include "executor/daemon/orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define MAX_LEASES 4096
#define MAX_ENVIRON_BYTES ((size_t)256 * 1024)
#define MARK "KILN_LEASE_ID="

struct lease {
	char id[UUID_TEXT_SIZE];
	dev_t dev;
	ino_t ino;
};

struct leases {
	struct lease *items;
	size_t len;
};

static bool holds(int fds_fd, const char *fd_name, const struct leases *leases, size_t *ret_which)
{
	struct stat info;
	if (fstatat(fds_fd, fd_name, &info, 0) < 0)
		return false;
	for (size_t i = 0; i < leases->len; i++) {
		if (info.st_dev == leases->items[i].dev && info.st_ino == leases->items[i].ino) {
			*ret_which = i;
			return true;
		}
	}
	return false;
}

static bool has_descriptor(int proc_fd, const char *pid, const struct leases *leases, size_t *ret_which)
{
	char path[NAME_MAX + 16];
	(void)snprintf(path, sizeof(path), "%s/fd", pid);
	int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd); /* read only */
		return false;        /* gone, or another user's: not an agent of ours */
	}
	bool found = false;
	for (struct dirent *entry = readdir(dir); entry != NULL && !found; entry = readdir(dir))
		found = entry->d_name[0] != '.' && holds(dirfd(dir), entry->d_name, leases, ret_which);
	(void)closedir(dir); /* read only */
	return found;
}

static bool has_mark(int proc_fd, const char *pid, const struct leases *leases, size_t *ret_which)
{
	char path[NAME_MAX + 16];
	(void)snprintf(path, sizeof(path), "%s/environ", pid);
	CLEANUP(close_p) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	CLEANUP(free_p) char *text = xmalloc(MAX_ENVIRON_BYTES);
	ssize_t got = fd_read_up_to(fd, text, MAX_ENVIRON_BYTES - 1);
	size_t len = got > 0 ? (size_t)got : 0;
	text[len] = '\0';
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		if (!str_starts(text + at, MARK))
			continue;
		for (size_t i = 0; i < leases->len; i++) {
			if (str_equal(text + at + sizeof(MARK) - 1, leases->items[i].id)) {
				*ret_which = i;
				return true;
			}
		}
	}
	return false;
}

/* Kills whoever holds one of the locks or bears a lease's mark. Returns how many. */
static size_t kill_holders(const struct leases *leases)
{
	DIR *proc = opendir("/proc");
	if (proc == NULL || leases->len == 0) {
		if (proc != NULL)
			(void)closedir(proc); /* read only */
		return 0;
	}
	size_t killed = 0;
	pid_t self = getpid();
	for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		size_t which = 0;
		if (*end != '\0' || pid <= 1 || pid == self)
			continue;
		if (!has_descriptor(dirfd(proc), entry->d_name, leases, &which) &&
			!has_mark(dirfd(proc), entry->d_name, leases, &which))
			continue;
		log_warn("killing a process that its attempt left behind", "pid", LOG_INT(pid), "lease_id",
				 leases->items[which].id, NULL);
		(void)kill((pid_t)pid, SIGKILL); /* ESRCH: gone meanwhile */
		killed++;
	}
	(void)closedir(proc); /* read only */
	return killed;
}

/* Opens a lock file; -1 with errno. */
static int open_lock(const char *state_dir, const char *lease_id, struct lease *ret_lease)
{
	CLEANUP(free_p) char *path = xasprintf("%s/locks/%s", state_dir, lease_id);
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;
	if (fd < 0)
		return -1;
	CHECK(fstat(fd, &info) == 0);
	*ret_lease = (struct lease){.dev = info.st_dev, .ino = info.st_ino};
	(void)snprintf(ret_lease->id, sizeof(ret_lease->id), "%s", lease_id);
	return fd;
}

void orphans_remove_lock(const char *state_dir, const char *lease_id)
{
	CLEANUP(free_p) char *path = xasprintf("%s/locks/%s", state_dir, lease_id);
	(void)unlink(path); /* ENOENT: removed before */
}

bool orphans_clear_lease(const char *state_dir, const char *lease_id)
{
	struct lease lease;
	int fd = open_lock(state_dir, lease_id, &lease);
	if (fd < 0)
		return true; /* it never got so far */
	bool free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;
	struct leases leases = {.items = &lease, .len = 1};
	/* A free lock is enough here: what has closed it came to this daemon, a subreaper, which kills it as a child that
	 * it does not know. */
	size_t killed = free_now ? 0 : kill_holders(&leases);
	(void)close(fd); /* which unlocks, if we had it */
	return free_now && killed == 0;
}

static void list_leases(const char *state_dir, struct leases *leases)
{
	CLEANUP(free_p) char *path = xasprintf("%s/locks", state_dir);
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL && leases->len < MAX_LEASES;
		 entry = readdir(dir)) {
		if (!uuid_is_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		int fd = open_lock(state_dir, entry->d_name, &leases->items[leases->len]);
		if (fd >= 0) {
			leases->len++;
			(void)close(fd); /* only its number was wanted */
		}
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
}

bool orphans_clear(const char *state_dir)
{
	struct leases leases = {.items = xcalloc(MAX_LEASES, sizeof(struct lease))};
	list_leases(state_dir, &leases);
	bool clear = kill_holders(&leases) == 0;
	for (size_t i = 0; clear && i < leases.len; i++) {
		clear = orphans_clear_lease(state_dir, leases.items[i].id);
		if (clear)
			orphans_remove_lock(state_dir, leases.items[i].id);
	}
	clear = clear && leases.len < MAX_LEASES;
	free(leases.items);
	return clear;
}
