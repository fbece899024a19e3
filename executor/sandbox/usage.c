#include "executor/sandbox/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"
#include "common/base/fd.h"

#define MAX_PROCESSES 65536
#define TEXT_BYTES 4096
#define BLOCK_BYTES 512    /* of st_blocks */
#define FILE_BYTES 320     /* of the kernel's memory for an open file, and */
#define THREAD_BYTES 24576 /* for a thread: its stack there and what describes it */
#define MAX_DEPTH 512

static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

/* ---- the tree of processes */

struct pids {
	pid_t *items;
	size_t len, size;
};

static void add_pid(struct pids *pids, pid_t pid)
{
	if (pids->len >= MAX_PROCESSES)
		return;
	if (pids->len == pids->size) {
		pids->size = pids->size > 0 ? pids->size * 2 : 64;
		pids->items = xreallocarray(pids->items, pids->size, sizeof(pids->items[0]));
	}
	pids->items[pids->len++] = pid;
}

static void add_children_of_thread(struct pids *pids, pid_t pid, const char *thread)
{
	char name[300], text[TEXT_BYTES];
	(void)snprintf(name, sizeof(name), "/proc/%d/task/%s/children", (int)pid, thread);
	FILE *file = fopen(name, "re");
	if (file == NULL)
		return;
	while (fgets(text, sizeof(text), file) != NULL) {
		/* A number that was cut in two is read by its first part: then something else, or nothing, is looked at. */
		char *at = text, *end;
		for (long child = strtol(at, &end, 10); end != at; child = strtol(at, &end, 10)) {
			add_pid(pids, (pid_t)child);
			at = end;
		}
	}
	(void)fclose(file); /* read only */
}

static void add_children(struct pids *pids, pid_t pid)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *threads = opendir(path);
	if (threads == NULL)
		return;
	for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
		if (entry->d_name[0] != '.')
			add_children_of_thread(pids, pid, entry->d_name);
	}
	(void)closedir(threads); /* read only */
}

static void find_processes(pid_t root, struct pids *pids)
{
	add_pid(pids, root);
	for (size_t i = 0; i < pids->len; i++)
		add_children(pids, pids->items[i]);
}

/* ---- one process */

/* Fields of /proc/PID/stat, by their numbers in proc(5). */
enum stat_field {
	STAT_FIRST = 3,
	STAT_UTIME = 14,
	STAT_STIME,
	STAT_CUTIME,
	STAT_CSTIME,
	STAT_THREADS = 20,
	STAT_RSS = 24
};

/* `at` is at field 3. Numbers only, 0 for one that is not there. */
static int64_t stat_value(const char *at, enum stat_field wanted)
{
	for (int field = STAT_FIRST; field < (int)wanted && at != NULL; field++) {
		at = strchr(at, ' ');
		at = at != NULL ? at + 1 : NULL;
	}
	return at != NULL ? strtoll(at, NULL, 10) : 0;
}

/* The second field may contain anything, and ends at the last ')'. */
static void add_stat(pid_t pid, struct process_usage *usage)
{
	char text[TEXT_BYTES];
	if (read_proc(pid, "stat", text, sizeof(text)) <= 0)
		return;
	const char *end = strrchr(text, ')');
	if (end == NULL || end[1] != ' ')
		return;
	const char *at = end + 2;
	int64_t ticks = stat_value(at, STAT_UTIME) + stat_value(at, STAT_STIME) + stat_value(at, STAT_CUTIME) +
					stat_value(at, STAT_CSTIME);
	usage->cpu_ms += ticks * 1000 / sysconf(_SC_CLK_TCK);
	usage->memory_bytes +=
		stat_value(at, STAT_RSS) * sysconf(_SC_PAGESIZE) + stat_value(at, STAT_THREADS) * THREAD_BYTES;
	usage->processes++;
}

/* The value of a line "Name:  123 …"; 0 when there is none. */
static int64_t value_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at != NULL ? strtoll(at + strlen(name), NULL, 10) : 0;
}

void usage_of_processes(pid_t root, struct process_usage *ret)
{
	struct pids pids = {.len = 0};
	struct process_usage usage = {.processes = 0};
	char text[TEXT_BYTES];
	find_processes(root, &pids);
	for (size_t i = 0; i < pids.len; i++) {
		add_stat(pids.items[i], &usage);
		if (read_proc(pids.items[i], "status", text, sizeof(text)) > 0)
			usage.memory_bytes += value_of(text, "\nFDSize:") * FILE_BYTES;
	}
	free(pids.items);
	*ret = usage;
}

int64_t usage_exact_memory(pid_t root)
{
	struct pids pids = {.len = 0};
	char text[TEXT_BYTES];
	int64_t bytes = 0;
	find_processes(root, &pids);
	for (size_t i = 0; i < pids.len; i++) {
		if (read_proc(pids.items[i], "smaps_rollup", text, sizeof(text)) > 0)
			bytes += value_of(text, "\nPss:") * 1024;
		if (read_proc(pids.items[i], "status", text, sizeof(text)) > 0)
			bytes += value_of(text, "\nFDSize:") * FILE_BYTES + value_of(text, "\nThreads:") * THREAD_BYTES;
	}
	free(pids.items);
	return bytes;
}

/* ---- files */

/* A file with several names is found at each: its part. All its names are the agent's own. */
static void add_info(const struct stat *info, struct disk_usage *usage)
{
	int64_t names = S_ISDIR(info->st_mode) || info->st_nlink == 0 ? 1 : (int64_t)info->st_nlink;
	usage->bytes += (int64_t)info->st_blocks * BLOCK_BYTES / names;
	usage->files++;
}

/* Takes the descriptor over. The agent changes what is walked: nothing is followed, and depth has a limit. */
static void walk(int fd, dev_t device, int depth, int64_t max_files, struct disk_usage *usage)
{
	DIR *folder = fdopendir(fd);
	if (folder == NULL) {
		(void)close(fd); /* read only */
		return;
	}
	for (struct dirent *entry = readdir(folder); entry != NULL && usage->files <= max_files; entry = readdir(folder)) {
		struct stat info;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 || info.st_dev != device)
			continue;
		add_info(&info, usage);
		if (!S_ISDIR(info.st_mode) || depth >= MAX_DEPTH)
			continue;
		int inner = openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (inner >= 0)
			walk(inner, device, depth + 1, max_files, usage);
	}
	(void)closedir(folder); /* read only */
}

void usage_add_folder(const char *path, int64_t max_files, struct disk_usage *usage)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;
	if (fd < 0)
		return;
	CHECK(fstat(fd, &info) == 0);
	add_info(&info, usage);
	walk(fd, info.st_dev, 0, max_files, usage);
}

static void add_nameless_of(pid_t pid, dev_t device, struct disk_usage *usage)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *fds = opendir(path);
	if (fds == NULL)
		return;
	for (struct dirent *entry = readdir(fds); entry != NULL; entry = readdir(fds)) {
		struct stat info;
		if (entry->d_name[0] != '.' && fstatat(dirfd(fds), entry->d_name, &info, 0) == 0 && info.st_nlink == 0 &&
			info.st_dev == device && S_ISREG(info.st_mode))
			add_info(&info, usage);
	}
	(void)closedir(fds); /* read only */
}

void usage_add_nameless(pid_t root, const char *path, struct disk_usage *usage)
{
	struct pids pids = {.len = 0};
	struct stat info;
	if (stat(path, &info) < 0)
		return;
	find_processes(root, &pids);
	for (size_t i = 0; i < pids.len; i++)
		add_nameless_of(pids.items[i], info.st_dev, usage);
	free(pids.items);
}
