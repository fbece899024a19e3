#include "executor/remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"

#define MOVED_PREFIX ".kiln-removing-"

/*
 * Depth is taken out of the tree instead of being descended into: a directory that is found two levels below the root
 * is renamed to the root, so that no more than three descriptors are ever open.
 */
struct removal {
	int root_fd;
	uint64_t moved; /* for names */
	int64_t deadline_ms;
	bool late;
};

static int open_directory(int parent_fd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent_fd, name, flags);
	if (fd < 0 && errno == EACCES && fchmodat(parent_fd, name, 0700, 0) == 0)
		fd = openat(parent_fd, name, flags);
	if (fd >= 0)
		(void)fchmod(fd, 0700); /* its entries are to be removed; failing shows there */
	return fd;
}

static bool is_dot(const char *name)
{
	return str_equal(name, ".") || str_equal(name, "..");
}

/* True when the entry is gone. */
static bool remove_simple(int parent_fd, const char *name)
{
	if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return false;
	return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0;
}

/* Moves a full directory to the root, to be emptied there. */
static bool move_up(struct removal *removal, int parent_fd, const char *name)
{
	char moved[64];
	struct stat info;
	if (fstatat(parent_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(info.st_mode))
		return false;
	if (fchmodat(parent_fd, name, 0700, 0) < 0) /* a rename writes its ".." */
		return false;
	do {
		(void)snprintf(moved, sizeof(moved), MOVED_PREFIX "%llu", (unsigned long long)removal->moved++);
		if (renameat2(parent_fd, name, removal->root_fd, moved, 1 /* RENAME_NOREPLACE */) == 0)
			return true;
	} while (errno == EEXIST);
	return false;
}

static bool is_late(struct removal *removal)
{
	removal->late = removal->late || clock_boot_ms() >= removal->deadline_ms;
	return removal->late;
}

/* One pass over a directory of the root. False when something in it could not be removed or moved. */
static bool empty_child(struct removal *removal, int fd)
{
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd); /* read only */
		return false;
	}
	bool clean = true;
	for (struct dirent *entry = readdir(dir); entry != NULL && !is_late(removal); entry = readdir(dir)) {
		if (is_dot(entry->d_name) || remove_simple(dirfd(dir), entry->d_name))
			continue;
		if (!move_up(removal, dirfd(dir), entry->d_name))
			clean = false;
	}
	(void)closedir(dir); /* read only */
	return clean;
}

/* One pass over the root. ret_left: entries that are still there. -1 when one of them cannot be removed. */
static int empty_root(struct removal *removal, bool *ret_left, struct error *err)
{
	int fd = openat(removal->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd); /* read only */
		return error_set_errno(err, errno, "directory to be removed");
	}
	bool left = false;
	int rc = 0;
	for (struct dirent *entry = readdir(dir); entry != NULL && rc == 0 && !is_late(removal); entry = readdir(dir)) {
		const char *name = entry->d_name;
		if (is_dot(name) || remove_simple(removal->root_fd, name))
			continue;
		left = true;
		int child = open_directory(removal->root_fd, name);
		if (child < 0)
			rc = error_set_errno(err, errno, "cannot remove %s", name);
		else if (!empty_child(removal, child))
			rc = error_set(err, ERR_INTERNAL, "cannot empty %s", name);
		else
			(void)unlinkat(removal->root_fd, name, AT_REMOVEDIR); /* not yet empty: the next pass */
	}
	(void)closedir(dir); /* read only */
	*ret_left = left;
	return rc;
}

int remove_tree(int parent_fd, const char *name, int64_t deadline_ms, struct error *err)
{
	if (remove_simple(parent_fd, name))
		return 0;
	struct removal removal = {.deadline_ms = deadline_ms};
	removal.root_fd = open_directory(parent_fd, name);
	if (removal.root_fd < 0)
		return error_set_errno(err, errno, "cannot remove %s", name);
	bool left = true;
	int rc = 0;
	while (rc == 0 && left && !removal.late)
		rc = empty_root(&removal, &left, err);
	(void)close(removal.root_fd); /* read only */
	if (rc < 0)
		return -1;
	if (removal.late)
		return error_set(err, ERR_TIMEOUT, "%s: not removed in time", name);
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", name);
	return 0;
}
