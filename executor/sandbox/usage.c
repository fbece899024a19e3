#include "executor/sandbox/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"
#include "common/base/fd.h"

#define MAX_PROCESSES 65536
#define TEXT_BYTES 4096
#define BLOCK_BYTES 512    /* of st_blocks */
#define FILE_BYTES 320     /* of the kernel's memory for an open file, and */
#define THREAD_BYTES 24576 /* for a thread: its stack there and what describes it */
#define HASH_SHIFT 16
#define ALL_MODES 07777

static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : fd_read_up_to(fd, text, size - 1);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

/* ---- the tree of processes */

struct found {
	pid_t pid, parent;
	pid_t witness; /* a thread that still has the process's memory and descriptors */
};

struct pids {
	struct found *items;
	size_t len, size;
};

static void add_pid(struct pids *pids, pid_t pid, pid_t parent)
{
	if (pids->len >= MAX_PROCESSES)
		return;
	if (pids->len == pids->size) {
		pids->size = pids->size > 0 ? pids->size * 2 : 64;
		pids->items = xreallocarray(pids->items, pids->size, sizeof(pids->items[0]));
	}
	pids->items[pids->len++] = (struct found){.pid = pid, .parent = parent, .witness = pid};
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
			add_pid(pids, (pid_t)child, pid);
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

/* ---- one process */

/* Fields of /proc/PID/stat, by their numbers in proc(5). */
enum stat_field {
	STAT_FIRST = 3,
	STAT_STATE = STAT_FIRST,
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

/* From field 3 on; NULL when there is no such process. The second field may contain anything, and ends at the last ')'.
 */
static const char *read_stat(pid_t pid, char *text, size_t size)
{
	if (read_proc(pid, "stat", text, size) <= 0)
		return NULL;
	const char *end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' ? end + 2 : NULL;
}

static bool is_zombie(const char *at)
{
	return at[0] == 'Z' || at[0] == 'X';
}

/* A process whose first thread has ended shows no memory and no descriptors under its own number, while the other
 * threads have them. */
static pid_t find_witness(pid_t pid)
{
	char path[64], text[TEXT_BYTES];
	const char *at = read_stat(pid, text, sizeof(text));
	if (at == NULL || !is_zombie(at) || stat_value(at, STAT_THREADS) < 2)
		return pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *threads = opendir(path);
	pid_t witness = pid;
	for (struct dirent *entry = threads == NULL ? NULL : readdir(threads); entry != NULL && witness == pid;
		 entry = readdir(threads)) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10); /* of "." and "..": 0 */
		at = thread > 0 ? read_stat(thread, text, sizeof(text)) : NULL;
		if (at != NULL && !is_zombie(at))
			witness = thread;
	}
	if (threads != NULL)
		(void)closedir(threads); /* read only */
	return witness;
}

static void find_processes(pid_t root, struct pids *pids)
{
	add_pid(pids, root, 0);
	for (size_t i = 0; i < pids->len; i++) {
		add_children(pids, pids->items[i].pid);
		pids->items[i].witness = find_witness(pids->items[i].pid);
	}
}

/* 0 = they share it, > 0 = they do not, < 0 = it cannot be known. */
static long compare(pid_t one, pid_t other, int what)
{
	return syscall(SYS_kcmp, one, other, what, 0, 0);
}

static void add_stat(pid_t pid, struct process_usage *usage)
{
	char text[TEXT_BYTES];
	const char *at = read_stat(pid, text, sizeof(text));
	if (at == NULL)
		return;
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

/* The page tables of the zero page, or of a file's pages, take memory that is resident nowhere: 4 KiB for each 2 MiB that
 * somebody has read in. */
static int64_t page_table_bytes(const char *status)
{
	return value_of(status, "\nVmPTE:") * 1024;
}

void usage_of_processes(pid_t root, struct process_usage *ret)
{
	struct pids pids = {.len = 0};
	struct process_usage usage = {.processes = 0};
	char text[TEXT_BYTES];
	find_processes(root, &pids);
	for (size_t i = 0; i < pids.len; i++) {
		add_stat(pids.items[i].witness, &usage);
		if (read_proc(pids.items[i].witness, "status", text, sizeof(text)) > 0)
			usage.memory_bytes += value_of(text, "\nFDSize:") * FILE_BYTES + page_table_bytes(text);
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
		const struct found *found = &pids.items[i];
		/* Between vfork and exec a child has its parent's memory, which each would show as its own. */
		bool lent = found->parent > 0 && compare(found->parent, found->pid, KCMP_VM) == 0;
		if (!lent && read_proc(found->witness, "smaps_rollup", text, sizeof(text)) > 0)
			bytes += value_of(text, "\nPss:") * 1024;
		if (read_proc(found->witness, "status", text, sizeof(text)) > 0)
			bytes += value_of(text, "\nFDSize:") * FILE_BYTES + value_of(text, "\nThreads:") * THREAD_BYTES +
					 (lent ? 0 : page_table_bytes(text));
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

static bool is_open_to_us(const struct stat *info)
{
	return (info->st_mode & (S_IRUSR | S_IXUSR)) == (S_IRUSR | S_IXUSR);
}

/* The folder's mode, through a descriptor that was opened with O_PATH. */
static bool set_mode(int fd, mode_t mode)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode & ALL_MODES) == 0;
}

static void walk(int fd, dev_t device, int depth, const struct usage_limits *limits, struct disk_usage *usage);

/* An agent can take reading from its folders, and go on writing into them. It has the same user as we: for as long as
 * we look they are readable. `info` is what was found under that name. */
static void walk_into(int parent, const char *name, const struct stat *info, int depth,
					  const struct usage_limits *limits, struct disk_usage *usage)
{
	CLEANUP(close_p)
	int closed = is_open_to_us(info) ? -1 : openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool opened = closed >= 0 && set_mode(closed, info->st_mode | S_IRUSR | S_IXUSR);
	int fd = openat(opened ? closed : parent, opened ? "." : name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		walk(fd, info->st_dev, depth, limits, usage);
	if (opened)
		(void)set_mode(closed, info->st_mode); /* its folder, its matter */
}

static bool is_at_end(const struct usage_limits *limits, const struct disk_usage *usage)
{
	return usage->files > limits->max_files || (limits->is_stopped != NULL && limits->is_stopped(limits->ctx));
}

/* Takes the descriptor over. The agent changes what is walked: nothing is followed, and depth has a limit. */
static void walk(int fd, dev_t device, int depth, const struct usage_limits *limits, struct disk_usage *usage)
{
	DIR *folder = fdopendir(fd);
	if (folder == NULL) {
		(void)close(fd); /* read only */
		return;
	}
	for (struct dirent *entry = readdir(folder); entry != NULL && !is_at_end(limits, usage); entry = readdir(folder)) {
		struct stat info;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 || info.st_dev != device)
			continue;
		if (limits->is_left_out != NULL && S_ISREG(info.st_mode) && limits->is_left_out(entry->d_name))
			continue;
		add_info(&info, usage);
		if (!S_ISDIR(info.st_mode))
			continue;
		if (depth < USAGE_MAX_DEPTH)
			walk_into(dirfd(folder), entry->d_name, &info, depth + 1, limits, usage);
		else
			usage->too_deep = true;
	}
	(void)closedir(folder); /* read only */
}

void usage_add_folder(const char *path, const struct usage_limits *limits, struct disk_usage *usage)
{
	struct stat info;
	if (lstat(path, &info) < 0 || !S_ISDIR(info.st_mode))
		return;
	add_info(&info, usage);
	walk_into(AT_FDCWD, path, &info, 0, limits, usage);
}

/* ---- files without a name */

/* Numbers of files that were counted: an open file has many descriptors. A table of 2^n places, 0 = free. */
struct seen {
	ino_t *items;
	size_t len, size;
};

/* Where it is, or where it belongs. */
static ino_t *seen_place(const struct seen *seen, ino_t ino)
{
	size_t at = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> HASH_SHIFT) & (seen->size - 1);
	while (seen->items[at] != 0 && seen->items[at] != ino)
		at = (at + 1) & (seen->size - 1);
	return &seen->items[at];
}

static void seen_grow(struct seen *seen)
{
	struct seen larger = {.len = seen->len, .size = seen->size > 0 ? seen->size * 2 : 64};
	larger.items = xcalloc(larger.size, sizeof(larger.items[0]));
	for (size_t i = 0; i < seen->size; i++) {
		if (seen->items[i] != 0)
			*seen_place(&larger, seen->items[i]) = seen->items[i];
	}
	free(seen->items);
	*seen = larger;
}

/* False when it was there before. */
static bool seen_add(struct seen *seen, ino_t ino)
{
	if (seen->len * 2 >= seen->size)
		seen_grow(seen);
	ino_t *place = seen_place(seen, ino);
	if (*place == ino)
		return false;
	*place = ino;
	seen->len++;
	return true;
}

struct nameless {
	dev_t device;
	int64_t max_files;
	struct seen seen;
	struct disk_usage *usage;
};

static void add_nameless_of(pid_t thread, struct nameless *nameless)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)thread);
	DIR *fds = opendir(path);
	if (fds == NULL)
		return;
	for (struct dirent *entry = readdir(fds); entry != NULL && nameless->usage->files <= nameless->max_files;
		 entry = readdir(fds)) {
		struct stat info;
		if (entry->d_name[0] != '.' && fstatat(dirfd(fds), entry->d_name, &info, 0) == 0 && info.st_nlink == 0 &&
			info.st_dev == nameless->device && S_ISREG(info.st_mode) && seen_add(&nameless->seen, info.st_ino))
			add_info(&info, nameless->usage);
	}
	(void)closedir(fds); /* read only */
}

/* Descriptors are a process's, but a thread may have left them for a table of its own. */
static void add_nameless_of_threads(const struct found *found, struct nameless *nameless)
{
	char path[64];
	add_nameless_of(found->witness, nameless);
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)found->pid);
	DIR *threads = opendir(path);
	if (threads == NULL)
		return;
	for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10); /* of "." and "..": 0 */
		if (thread > 0 && thread != found->witness && compare(found->witness, thread, KCMP_FILES) > 0)
			add_nameless_of(thread, nameless);
	}
	(void)closedir(threads); /* read only */
}

void usage_add_nameless(pid_t root, const char *path, int64_t max_files, struct disk_usage *usage)
{
	struct pids pids = {.len = 0};
	struct stat info;
	if (stat(path, &info) < 0)
		return;
	struct nameless nameless = {.device = info.st_dev, .max_files = max_files, .usage = usage};
	find_processes(root, &pids);
	for (size_t i = 0; i < pids.len; i++)
		add_nameless_of_threads(&pids.items[i], &nameless);
	free(pids.items);
	free(nameless.seen.items);
}
