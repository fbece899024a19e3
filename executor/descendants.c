#include "executor/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"

#define FREEZE_ROUNDS 8
#define MAX_PID 4194304 /* the kernel's own limit */

bool descendants_reap(pid_t watched, int *ret_status, bool *ret_ended)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid == 0)
			return false;
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return true; /* ECHILD */
		if (pid == watched) {
			*ret_status = status;
			*ret_ended = true;
		}
	}
}

struct process {
	pid_t pid, parent;
	bool ours;
};

struct process_list {
	struct process *items;
	size_t len, size;
};

/* The parent, from /proc/PID/stat; 0 when the process is gone. The name in it may contain anything, hence the last ')'.
 */
static pid_t read_parent(int proc_fd, const char *pid_text)
{
	char path[NAME_MAX + 16], text[512];
	(void)snprintf(path, sizeof(path), "%s/stat", pid_text);
	CLEANUP(close_p) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t len = fd_read_up_to(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	const char *end = strrchr(text, ')');
	/* ") S 123 …" */
	if (end == NULL || strlen(end) < 5)
		return 0;
	return (pid_t)strtol(end + 4, NULL, 10);
}

static void list_add(struct process_list *list, pid_t pid, pid_t parent)
{
	if (list->len == list->size) {
		list->size = list->size > 0 ? list->size * 2 : 256;
		list->items = xreallocarray(list->items, list->size, sizeof(list->items[0]));
	}
	list->items[list->len++] = (struct process){.pid = pid, .parent = parent};
}

static void read_processes(struct process_list *list)
{
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		return; /* callers go on by waitpid, until their deadline */
	for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		if (*end != '\0' || pid <= 0 || pid > MAX_PID)
			continue;
		pid_t parent = read_parent(dirfd(proc), entry->d_name);
		if (parent > 0 && parent <= MAX_PID)
			list_add(list, (pid_t)pid, parent);
	}
	(void)closedir(proc); /* read only */
}

static bool is_among(pid_t pid, const pid_t *pids, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (pids[i] == pid)
			return true;
	}
	return false;
}

/* Marks what descends from this process, but from no kept child. Repeats because a parent may be listed after its
 * child: as often as the tree is deep. */
static void mark_ours(struct process_list *list, const pid_t *keep, size_t keep_len)
{
	pid_t self = getpid();
	uint64_t *ours = xcalloc(MAX_PID / 64 + 1, sizeof(*ours)); /* a bit for each pid */
	for (bool changed = true; changed;) {
		changed = false;
		for (size_t i = 0; i < list->len; i++) {
			struct process *process = &list->items[i];
			bool below = (ours[process->parent / 64] >> (process->parent % 64) & 1) != 0;
			if (process->ours || (!below && (process->parent != self || is_among(process->pid, keep, keep_len))))
				continue;
			process->ours = true;
			ours[process->pid / 64] |= UINT64_C(1) << (process->pid % 64);
			changed = true;
		}
	}
	free(ours);
}

/* Sends the signal to all but `spared`; returns how many there were. */
static size_t signal_all(int signal_number, const pid_t *keep, size_t keep_len, pid_t spared)
{
	struct process_list list = {0};
	read_processes(&list);
	mark_ours(&list, keep, keep_len);
	size_t count = 0;
	for (size_t i = 0; i < list.len; i++) {
		if (!list.items[i].ours || list.items[i].pid == spared)
			continue;
		count++;
		(void)kill(list.items[i].pid, signal_number); /* ESRCH: gone meanwhile */
	}
	free(list.items);
	return count;
}

void descendants_signal(int signal_number, pid_t spared)
{
	(void)signal_all(signal_number, NULL, 0, spared);
}

size_t descendants_kill_others(const pid_t *keep, size_t keep_len)
{
	/* Frozen when a round finds no more than the round before. */
	size_t before = 0, now = signal_all(SIGSTOP, keep, keep_len, 0);
	for (int round = 0; round < FREEZE_ROUNDS && now > before; round++) {
		before = now;
		now = signal_all(SIGSTOP, keep, keep_len, 0);
	}
	return now == 0 ? 0 : signal_all(SIGKILL, keep, keep_len, 0);
}

bool descendants_kill(int64_t deadline_ms, pid_t watched, int *ret_status, bool *ret_ended)
{
	while (!descendants_reap(watched, ret_status, ret_ended)) {
		if (clock_boot_ms() >= deadline_ms)
			return false;
		(void)descendants_kill_others(NULL, 0);
		(void)poll(NULL, 0,
				   1); /* the kernel needs a moment to end them; nothing tells of orphans that are not yet ours */
	}
	return true;
}
