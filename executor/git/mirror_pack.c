#include "executor/git/mirror_pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "executor/git/command.h"
#include "executor/git/mirror_lock.h"
#include "executor/git/mirror_sweep.h"

#define REFS_MS 10000     /* builds wait for it */
#define REFS_WAIT_MS 1000 /* for a fetch; then it is packed next time */
#define REST_US INT64_C(3600000000)
#define LONG_REST_US INT64_C(86400000000) /* what takes too long does so in an hour too */
#define COPIES 2                          /* of what there is; and a reserve for builds */

/* Adds what all of its files take when `bytes` is not NULL. */
static int64_t count_names(int mirror_fd, const char *folder, const char *end, int64_t *bytes)
{
	int64_t count = 0;
	struct stat info;
	int fd = openat(mirror_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		count += entry->d_name[0] != '.' && str_ends(entry->d_name, end) ? 1 : 0;
		if (bytes != NULL && entry->d_name[0] != '.' &&
			fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
			*bytes += info.st_size;
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else if (fd >= 0)
		(void)close(fd); /* a directory */
	return count;
}

void mirror_count_files(const char *path, struct mirror_files *ret)
{
	*ret = (struct mirror_files){.loose = 0};
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	ret->packs = count_names(fd, "objects/pack", ".pack", &ret->bytes);
	ret->refs = count_names(fd, "refs/kiln", "", NULL);
	for (int i = 0; i < 256; i++) {
		char name[sizeof("objects/00")];
		(void)snprintf(name, sizeof(name), "objects/%02x", (unsigned)i);
		ret->loose += count_names(fd, name, "", &ret->bytes);
	}
}

static int run(const char *path, const struct git_remote *here, int lock_fd, int64_t timeout_ms,
			   const char *const *args, struct error *err)
{
	struct git_remote locked = *here;
	locked.url_text = NULL;
	locked.mirror_fd = lock_fd;
	struct git_command command;
	int status = 0;
	if (git_command_start(&command, &locked, path, args, clock_boot_ms() + timeout_ms, NULL, NULL, err) < 0)
		return -1;
	int rc = git_command_wait(&command, &status, err);
	if (rc == 0 && WIFSIGNALED(status))
		rc = error_set(err, ERR_INTERNAL, "git was killed by signal %d", WTERMSIG(status));
	if (rc == 0 && status != 0) {
		const char *said = command.errors.len > 0 ? command.errors.data : "";
		rc = error_set(err, ERR_INTERNAL, "git has failed: %.*s", (int)strcspn(said, "\n"), said);
	}
	git_command_release(&command);
	return rc;
}

/* Also the time to clear up what a packing has left that was killed. */
static int pack_refs(const char *path, const struct git_remote *here, bool many, struct error *err)
{
	static const char *const args[] = {"pack-refs", "--all", NULL};
	CLEANUP(close_p) int lock_fd = -1;
	if (mirror_lock_fetch(path, here, clock_boot_ms() + REFS_WAIT_MS, &lock_fd, err) < 0)
		return err->kind == ERR_TIMEOUT ? 0 : -1;
	mirror_sweep(path); /* all but the packs, of which we have the lock */
	mirror_sweep_packs(path);
	if (!many)
		return 0;
	return run(path, here, lock_fd, REFS_MS, args, err) < 0 ? -1 : 1;
}

/* One thread, and less memory than the process has been bound to: large files are neither held nor compared. */
static int repack(const char *path, const struct git_remote *here, int pack_fd, struct error *err)
{
	static const char *const args[] = {"-c",     "pack.threads=1",
									   "-c",     "pack.windowMemory=64m",
									   "-c",     "pack.deltaCacheSize=32m",
									   "-c",     "core.bigFileThreshold=16m",
									   "-c",     "repack.writeBitmaps=false",
									   "repack", "--geometric=2",
									   "-d",     "-q",
									   "-n",     NULL};
	return run(path, here, pack_fd, here->timeout_ms, args, err) < 0 ? -1 : 1;
}

/* New packs are written beside the old ones. */
static bool has_room(const char *path, int64_t bytes)
{
	struct statvfs disk;
	return statvfs(path, &disk) < 0 || disk.f_frsize == 0 ||
		   bytes / (int64_t)disk.f_frsize * COPIES <= (int64_t)disk.f_bavail;
}

/* Half a pack may be large, and the next try is not soon. */
static void clear_up(const char *path)
{
	CLEANUP(close_p) int lock_fd = -1;
	struct error busy = ERROR_INIT;
	if (mirror_lock_fetch(path, NULL, clock_boot_ms(), &lock_fd, &busy) == 0) /* otherwise the next fetch does it */
		mirror_sweep_packs(path);
}

static int pack(const char *path, const struct git_remote *here, enum mirror_part part, int pack_fd,
				struct mirror_files *ret_before, struct error *err)
{
	mirror_count_files(path, ret_before);
	bool refs = ret_before->refs >= MIRROR_MANY_REFS;
	bool objects = ret_before->loose >= MIRROR_MANY_LOOSE || ret_before->packs >= MIRROR_MANY_PACKS;
	if (part == MIRROR_REFS)
		return refs || objects ? pack_refs(path, here, refs, err) : 0;
	if (!objects || !has_room(path, ret_before->bytes))
		return 0;
	int rc = repack(path, here, pack_fd, err);
	if (rc < 0 && err->kind != ERR_CANCELLED)
		clear_up(path);
	return rc;
}

/* A time that is further off than any rest comes of a clock that was ahead. */
static bool is_due(const char *path)
{
	int64_t packed_us = mirror_packed_us(path);
	return packed_us > clock_wall_us() + LONG_REST_US || mirror_last_used_us(path) > packed_us;
}

int mirror_pack(const char *path, const struct git_remote *here, enum mirror_part part, struct mirror_files *ret_before,
				struct error *err)
{
	CLEANUP(close_p) int stay_fd = -1;
	CLEANUP(close_p) int pack_fd = -1;
	if (!is_due(path))
		return 0;
	if (mirror_lock_stay(path, &stay_fd, err) < 0 || mirror_lock_pack(path, &pack_fd, err) < 0)
		return 0; /* also without the lock's file, which would say when to try again: not now */
	int64_t looked_us = clock_wall_us();
	struct mirror_files files;
	int rc = pack(path, here, part, pack_fd, &files, err);
	if (rc >= 0 && part == MIRROR_OBJECTS)
		mirror_set_packed_us(pack_fd, looked_us);
	bool took_long = rc < 0 && part == MIRROR_OBJECTS && err->kind == ERR_TIMEOUT;
	if (rc < 0 && err->kind != ERR_CANCELLED)
		mirror_set_packed_us(pack_fd, clock_wall_us() + (took_long ? LONG_REST_US : REST_US));
	if (rc >= 0)
		*ret_before = files;
	return rc;
}
