#include "executor/git/agent_packs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/git/command.h"
#include "executor/git/library.h"

#define MAX_PACKS 100                               /* each costs a process */
#define MAX_BYTES ((int64_t)4 * 1024 * 1024 * 1024) /* of all */

/* gitformat-pack(5), version 2: a head, 256 counts, then the ids in their order. */
#define INDEX_MAGIC 0xff744f63u
#define INDEX_COUNTS 256

/* Whether an object is in the pack twice: then a delta may have its own other copy as its base. A broken index counts
 * as such. */
static bool has_doubles(const char *index_path)
{
	uint32_t head[2 + INDEX_COUNTS];
	uint8_t ids[2][GIT_OID_RAWSZ];
	FILE *index = fopen(index_path, "re");
	if (index == NULL)
		return true;
	bool good = fread(head, sizeof(head), 1, index) == 1 && ntohl(head[0]) == INDEX_MAGIC && ntohl(head[1]) == 2;
	uint32_t count = good ? ntohl(head[1 + INDEX_COUNTS]) : 0;
	for (uint32_t i = 0; good && i < count; i++)
		good =
			fread(ids[i % 2], sizeof(ids[0]), 1, index) == 1 && (i == 0 || memcmp(ids[0], ids[1], sizeof(ids[0])) != 0);
	(void)fclose(index); /* read only */
	return !good;
}

/* The git command line with its deadline, and within the memory that this process is bound to. */
static int index_pack(const struct workspace *workspace, const struct git_remote *remote, const char *pack_path,
					  const char *index_path, const char **ret_why, struct error *err)
{
	struct git_remote here = *remote;
	here.url_text = NULL; /* it needs no connection */
	const char *args[] = {"index-pack", "--threads=1", "--index-version=2", "-o", index_path, pack_path, NULL};
	struct git_command command;
	int status = 0;
	if (git_command_start(&command, &here, workspace->git_dir, args, clock_boot_ms() + remote->timeout_ms, NULL, NULL,
						  err) < 0)
		return -1;
	int rc = git_command_wait(&command, &status, err);
	git_command_release(&command);
	if (rc < 0 && err->kind != ERR_TIMEOUT)
		return -1;
	if (rc < 0)
		*ret_why = "its packs take too long";
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		*ret_why = "a pack is broken";
	else if (has_doubles(index_path))
		*ret_why = "a pack has an object twice";
	else
		return 0;
	return 1;
}

/* The agent's processes are gone: what the link leads to does not change between git's look and libgit2's. */
static int take_pack(const struct workspace *workspace, const struct git_remote *remote, const char *name,
					 const char *objects, unsigned number, const char **ret_why, struct error *err)
{
	CLEANUP(free_p) char *theirs = xasprintf("%s/.git/objects/pack/%s", workspace->files, name);
	CLEANUP(free_p) char *pack_path = xasprintf("%s/pack/pack-%040u.pack", objects, number);
	CLEANUP(free_p) char *index_path = xasprintf("%s/pack/pack-%040u.idx", objects, number);
	if (symlink(theirs, pack_path) < 0)
		return error_set_errno(err, errno, "%s", pack_path);
	return index_pack(workspace, remote, pack_path, index_path, ret_why, err);
}

static int make_folders(const char *objects, struct error *err)
{
	CLEANUP(free_p) char *packs = xasprintf("%s/pack", objects);
	if (mkdir(objects, 0700) < 0 || mkdir(packs, 0700) < 0)
		return error_set_errno(err, errno, "%s", packs);
	return 0;
}

int agent_packs_index(const struct workspace *workspace, const struct git_remote *remote, int pack_fd,
					  const char *objects, const char **ret_why, struct error *err)
{
	DIR *dir = fdopendir(pack_fd);
	if (dir == NULL) {
		(void)close(pack_fd); /* a directory */
		*ret_why = "its packs cannot be read";
		return 1;
	}
	unsigned count = 0;
	int64_t bytes = 0;
	int rc = make_folders(objects, err);
	for (struct dirent *entry = readdir(dir); rc == 0 && entry != NULL; entry = readdir(dir)) {
		struct stat info;
		if (!str_ends(entry->d_name, ".pack"))
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(info.st_mode) ||
			info.st_size > MAX_BYTES - bytes || count == MAX_PACKS) {
			*ret_why = "its packs are too many or too large";
			rc = 1;
			break;
		}
		bytes += info.st_size;
		rc = take_pack(workspace, remote, entry->d_name, objects, count++, ret_why, err);
	}
	(void)closedir(dir); /* read only */
	return rc;
}
