/*
 * Limits of all processes of an agent together, by cgroup v2. The executor may do that where it was started in a group
 * of its own that it may write to (systemd: Delegate=yes): it moves itself into `kiln-executor` below that group, and
 * each attempt's agent gets a group beside it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct cgroup_limits {
	int64_t memory_bytes, processes;
};

/* In the daemon, once: moves it, and hands the controllers down. ERR_UNAVAILABLE says what is in the way. */
int cgroup_set_up(struct error *err) MUST_CHECK;
/* In an attempt's process: the group above, where the daemon has set it up; NULL where it has not. The caller's. */
char *cgroup_base(void) MUST_CHECK;

/* The same with given places, for tests: `root` is where cgroup2 is mounted, `self` the text of /proc/self/cgroup. */
int cgroup_set_up_at(const char *root, const char *self, struct error *err) MUST_CHECK;
char *cgroup_base_at(const char *root, const char *self) MUST_CHECK;

/* Makes `base`/`name` with its limits, and opens its cgroup.procs: a process that writes "0" there has joined. The
 * caller's: the path (cgroup_remove, then free) and the descriptor. */
int cgroup_make(const char *base, const char *name, const struct cgroup_limits *limits, char **ret_path, int *ret_fd,
				struct error *err) MUST_CHECK;
/* Kills what is in it, and removes it. What fails is tried again by nobody: an empty group is no harm. */
void cgroup_remove(const char *path);
/* In the daemon: the same for the group of an attempt whose process was killed before it could do it. Does not wait. */
void cgroup_discard(const char *name);
/* Whether the kernel has killed something in it for its memory. */
bool cgroup_was_out_of_memory(const char *path);
