/* The daemon's end of an attempt's child: its process and the frames to and from it. Never blocks. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/daemon/nursery.h"
#include "executor/frames.h"

struct child {
	pid_t pid; /* 0 = none, or reaped */
	int fd;
	bool ended; /* its end of the socket is closed */
	struct buffer in, out;
};

/* Forks a child from the nursery, or starts `kiln-executor run-attempt`. The versions are those of agents/offers.h. */
int child_spawn(struct child *child, struct nursery *nursery, const char *agent_versions, struct error *err) MUST_CHECK;
/* Starts `kiln-executor MODE VERSIONS` with the environment that this process has of its own settings, and the socket
 * as its standard input, which stays the caller's. */
int child_start_program(const char *mode, const char *agent_versions, int socket_fd, pid_t *ret_pid,
						struct error *err) MUST_CHECK;
/* Closes and frees; the process is the caller's to kill and reap. */
void child_release(struct child *child);
/* SIGKILL to the child alone: what it started dies with it (PDEATHSIG) or comes to the daemon, a subreaper. */
void child_kill(const struct child *child);

/* Queues a frame and writes what fits. A child that is gone is no error: its end is seen elsewhere. */
void child_send(struct child *child, enum frame_type type, uint64_t id, const void *data, size_t len);
void child_flush(struct child *child);
/* Reads what is there. False at the end of the stream. */
bool child_read(struct child *child);
/* For poll: POLLIN, and POLLOUT while something is queued. */
short child_events(const struct child *child, bool reading);
