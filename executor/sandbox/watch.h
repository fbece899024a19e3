/*
 * Watches what no limit of the kernel holds for a confined agent as a whole: processor time, disk, and (where there is
 * no cgroup for it) memory. What is over is to be ended by the caller. Between two looks it may be exceeded, by as much
 * as a machine can do in that time: they come the closer the nearer the limit is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "executor/sandbox/sandbox.h"

struct watch {
	const struct sandbox_spec *spec;
	pid_t pid;          /* with all that descends from it */
	const char *cgroup; /* NULL: memory is counted here */
	int64_t processes_due_ms, disk_due_ms, walk_due_ms;
	int64_t rest_ms;                    /* until then there is no walk without need: the last one has taken its time */
	int64_t walked_bytes, walked_files; /* as the last walk has found them */
	bool too_deep;                      /* as above */
	int64_t used_bytes, used_files;     /* of the whole file system, just before it */
};

/* Watches nothing when the sandbox does not confine. */
void watch_init(struct watch *watch, const struct sandbox *sandbox, const struct sandbox_spec *spec,
				const struct sandboxed *sandboxed);
/* When the next look is due (clock_boot_ms); INT64_MAX = never. */
int64_t watch_due_ms(const struct watch *watch);
/* Looks at what is due. True when something is over its limit: `why` says it in a sentence. */
bool watch_look(struct watch *watch, int64_t now_ms, char *why, size_t why_size);
/* After the end: whether the kernel has ended it for its memory. */
bool watch_explains_end(const struct watch *watch, char *why, size_t why_size);
