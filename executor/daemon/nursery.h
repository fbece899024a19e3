/*
 * The daemon's end of the nursery (attempt/nursery.h): children that are forked instead of started anew. What goes
 * wrong with it only means that the next child is started the long way. Main thread only.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/compiler.h"

struct nursery {
	pid_t pid; /* 0 = none, or reaped */
	int fd;
};

/* Zeroed as it begins. */
void nursery_init(struct nursery *nursery);
/* Has it started, unless there is one; does not wait until it is ready. */
void nursery_start(struct nursery *nursery, const char *agent_versions);
/* A child of this process that has `socket_fd`, the caller's, as its socket. Waits for it, a second or two at most.
 * False: there is none. */
bool nursery_fork(struct nursery *nursery, int socket_fd, pid_t *ret_pid) MUST_CHECK;
/* An attempt's child has ended. After a crash the next ones do not have its memory's layout, which they share: whoever
 * guesses at it would go on where he was. */
void nursery_child_ended(struct nursery *nursery, int status);
/* It has been reaped. */
void nursery_ended(struct nursery *nursery);
/* Kills and reaps it, and leaves the caller's struct as nursery_init does. Harmless when none runs. */
void nursery_stop(struct nursery *nursery);
