#include "executor/git/mirror_pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "executor/git/command.h"
#include "executor/git/mirror_lock.h"
#include "executor/git/mirror_sweep.h"

#define REPACK_MS 1200000 /* twenty minutes */
#define REFS_MS 10000     /* builds wait for it */
#define REFS_WAIT_MS 1000 /* for a fetch; then it is packed next time */
#define REST_US INT64_C(3600000000)

static int64_t count_names(int mirror_fd, const char *folder, const char *end)
{
	int64_t count = 0;
	int fd = openat(mirror_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir))
		count += entry->d_name[0] != '.' && str_ends(entry->d_name, end) ? 1 : 0;
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
	ret->packs = count_names(fd, "objects/pack", ".pack");
	ret->refs = count_names(fd, "refs/kiln", "");
	for (int i = 0; i < 256; i++) {
		char name[sizeof("objects/00")];
		(void)snprintf(name, sizeof(name), "objects/%02x", (unsigned)i);
		ret->loose += count_names(fd, name, "");
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
	return run(path, here, pack_fd, REPACK_MS, args, err) < 0 ? -1 : 1;
}

static int pack(const char *path, const struct git_remote *here, enum mirror_part part, int pack_fd,
				struct mirror_files *ret_before, struct error *err)
{
	mirror_count_files(path, ret_before);
	bool refs = ret_before->refs >= MIRROR_MANY_REFS;
	bool objects = ret_before->loose >= MIRROR_MANY_LOOSE || ret_before->packs >= MIRROR_MANY_PACKS;
	if (part == MIRROR_REFS)
		return refs || objects ? pack_refs(path, here, refs, err) : 0;
	return objects ? repack(path, here, pack_fd, err) : 0;
}

int mirror_pack(const char *path, const struct git_remote *here, enum mirror_part part, struct mirror_files *ret_before,
				struct error *err)
{
	CLEANUP(close_p) int stay_fd = -1;
	CLEANUP(close_p) int pack_fd = -1;
	if (mirror_last_used_us(path) <= mirror_packed_us(path))
		return 0;
	if (mirror_lock_stay(path, &stay_fd, err) < 0 || mirror_lock_pack(path, &pack_fd, err) < 0)
		return err->kind == ERR_NOT_FOUND || err->kind == ERR_TIMEOUT ? 0 : -1;
	int64_t looked_us = clock_wall_us();
	struct mirror_files files;
	int rc = pack(path, here, part, pack_fd, &files, err);
	if (rc >= 0 && part == MIRROR_OBJECTS)
		mirror_set_packed_us(pack_fd, looked_us);
	if (rc < 0 && err->kind != ERR_CANCELLED)
		mirror_set_packed_us(pack_fd, clock_wall_us() + REST_US);
	if (rc >= 0)
		*ret_before = files;
	return rc;
}
