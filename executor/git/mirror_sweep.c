#include "executor/git/mirror_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "executor/git/mirror_lock.h"

#define PACKS "objects/pack"

/* By git's names. A lock that stays makes all later changes of its ref fail, and a new list of packed refs all later
 * lists; a pack that is kept is not packed with others. */
static bool is_left_behind(const char *name)
{
	return str_starts(name, "tmp_") || str_starts(name, ".tmp-") || str_ends(name, ".lock") ||
		   str_ends(name, ".keep") || str_equal(name, "packed-refs.new");
}

/* Its index comes last and goes first: without one nobody reads it, and who made or removed it was killed. */
static bool lacks_index(int fd, const char *name)
{
	const char *end = strrchr(name, '.');
	if (!str_starts(name, "pack-") || end == NULL || (!str_equal(end, ".pack") && !str_equal(end, ".rev")))
		return false;
	CLEANUP(free_p) char *index = xasprintf("%.*s.idx", (int)(end - name), name);
	return faccessat(fd, index, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static void sweep_folder(int mirror_fd, const char *folder)
{
	int fd = openat(mirror_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (is_left_behind(entry->d_name) || lacks_index(dirfd(dir), entry->d_name))
			(void)unlinkat(dirfd(dir), entry->d_name, 0); /* a lock shows when git meets it, the rest costs space */
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else if (fd >= 0)
		(void)close(fd); /* a directory */
}

void mirror_sweep_packs(const char *path)
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		sweep_folder(fd, PACKS);
}

void mirror_sweep(const char *path)
{
	static const char *const folders[] = {".", "refs/kiln", "objects", "objects/info"};
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_p) int pack_fd = -1;
	struct error packing = ERROR_INIT;
	if (fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		sweep_folder(fd, folders[i]);
	for (int i = 0; i < 256; i++) {
		char name[sizeof("objects/00")];
		(void)snprintf(name, sizeof(name), "objects/%02x", (unsigned)i);
		sweep_folder(fd, name);
	}
	/* Nobody packs a mirror of an older release, where a full disk has no room for the lock's file. */
	if (mirror_lock_pack(path, &pack_fd, &packing) == 0 || packing.sys_errno == ENOSPC || packing.sys_errno == EDQUOT)
		sweep_folder(fd, PACKS);
}
