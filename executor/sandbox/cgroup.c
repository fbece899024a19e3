#include "executor/sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define OWN "kiln-executor"
#define ROOT "/sys/fs/cgroup"
#define TEXT_BYTES 4096
#define REMOVE_TRIES 50 /* of 2 ms: the killed need a moment to be gone */
#define REMOVE_MS 2

static bool read_text(const char *path, char text[TEXT_BYTES])
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : fd_read_up_to(fd, text, TEXT_BYTES - 1);
	text[got > 0 ? got : 0] = '\0';
	return got >= 0;
}

static bool read_file(const char *group, const char *name, char text[TEXT_BYTES])
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", group, name);
	return read_text(path, text);
}

static int write_text(const char *group, const char *name, const char *text, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", group, name);
	CLEANUP(close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

/* Our group: the line "0::/path". NULL when the unified hierarchy has none for us, or somebody else's. */
static char *own_group(const char *root, const char *self)
{
	for (const char *line = self; *line != '\0'; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL)) {
		size_t len = strcspn(line, "\n");
		if (!str_starts(line, "0::/") || memmem(line, len, "..", 2) != NULL)
			continue;
		size_t path_len = len - strlen("0::");
		while (path_len > 0 && line[strlen("0::") + path_len - 1] == '/')
			path_len--;
		return xasprintf("%s%.*s", root, (int)path_len, line + strlen("0::"));
	}
	return NULL;
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
		if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	}
	return false;
}

static bool has_controllers(const char *group, const char *file)
{
	char text[TEXT_BYTES];
	return read_file(group, file, text) && has_word(text, "memory") && has_word(text, "pids");
}

int cgroup_set_up_at(const char *root, const char *self, struct error *err)
{
	CLEANUP(free_p) char *base = own_group(root, self);
	if (base == NULL)
		return error_set(err, ERR_UNAVAILABLE, "this process is in no cgroup v2");
	if (!has_controllers(base, "cgroup.controllers"))
		return error_set(err, ERR_UNAVAILABLE, "%s has no controllers for memory and pids", base);
	CLEANUP(free_p) char *own = xasprintf("%s/" OWN, base);
	if (mkdir(own, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s", own);
	/* Controllers are handed down only by a group that has no processes of its own. */
	if (write_text(own, "cgroup.procs", "0", err) < 0)
		return -1;
	if (write_text(base, "cgroup.subtree_control", "+memory +pids", err) < 0) {
		struct error ignored = ERROR_INIT;
		(void)write_text(base, "cgroup.procs", "0", &ignored); /* back; where we are then does not matter */
		(void)rmdir(own);                                      /* as above */
		return -1;
	}
	return 0;
}

int cgroup_set_up(struct error *err)
{
	char self[TEXT_BYTES];
	(void)read_text("/proc/self/cgroup", self); /* "" has no group */
	return cgroup_set_up_at(ROOT, self, err);
}

char *cgroup_base_at(const char *root, const char *self)
{
	CLEANUP(free_p) char *own = own_group(root, self);
	if (own == NULL || !str_ends(own, "/" OWN))
		return NULL;
	char *base = xstrndup(own, strlen(own) - strlen("/" OWN));
	if (has_controllers(base, "cgroup.subtree_control"))
		return base;
	free(base);
	return NULL;
}

char *cgroup_base(void)
{
	char self[TEXT_BYTES];
	(void)read_text("/proc/self/cgroup", self); /* as above */
	return cgroup_base_at(ROOT, self);
}

static int set_limits(const char *group, const struct cgroup_limits *limits, struct error *err)
{
	char memory[32], processes[32];
	(void)snprintf(memory, sizeof(memory), "%" PRId64, limits->memory_bytes);
	(void)snprintf(processes, sizeof(processes), "%" PRId64, limits->processes);
	if (write_text(group, "memory.max", memory, err) < 0 || write_text(group, "pids.max", processes, err) < 0)
		return -1;
	struct error ignored = ERROR_INIT;
	(void)write_text(group, "memory.swap.max", "0", &ignored);  /* a kernel without swap does not have it */
	(void)write_text(group, "memory.oom.group", "1", &ignored); /* only tidier: else one process goes after the other */
	return 0;
}

int cgroup_make(const char *base, const char *name, const struct cgroup_limits *limits, char **ret_path, int *ret_fd,
				struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", base, name);
	CLEANUP(free_p) char *procs = xasprintf("%s/cgroup.procs", path);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s", path);
	if (set_limits(path, limits, err) < 0) {
		cgroup_remove(path);
		return -1;
	}
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		int errnum = errno;
		cgroup_remove(path);
		return error_set_errno(err, errnum, "%s", procs);
	}
	*ret_fd = fd;
	*ret_path = path;
	path = NULL;
	return 0;
}

void cgroup_remove(const char *path)
{
	struct error ignored = ERROR_INIT;
	(void)write_text(path, "cgroup.kill", "1", &ignored); /* kernels before 5.14; its processes are dead anyway */
	for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < REMOVE_TRIES; tries++)
		(void)poll(NULL, 0, REMOVE_MS); /* until the kernel has let go of them */
}

void cgroup_discard(const char *name)
{
	CLEANUP(free_p) char *base = cgroup_base();
	if (base == NULL)
		return;
	CLEANUP(free_p) char *path = xasprintf("%s/%s", base, name);
	struct error ignored = ERROR_INIT;
	(void)write_text(path, "cgroup.kill", "1", &ignored); /* as above; mostly it is gone already */
	(void)rmdir(path);                                    /* as above */
}

bool cgroup_was_out_of_memory(const char *path)
{
	char text[TEXT_BYTES];
	if (!read_file(path, "memory.events", text))
		return false;
	const char *at = strstr(text, "oom_kill ");
	return at != NULL && at[strlen("oom_kill ")] != '0';
}
