/*
 * Child processes: spawn with an environment built from nothing, own process group, pipes, deadline, and kill of the
 * whole group. Nothing here uses a shell. Between fork and exec only async-signal-safe calls are made; a failed exec is
 * reported to the caller.
 *
 * Any thread may call, but: PDEATHSIG (die_with_parent) fires when the *thread* that spawned ends, so that must be one
 * that lives as long as the process. And process_spawn waits until its child has left the address space (exec closes a
 * pipe): another thread that at the same moment forks a child which never execs would hold that pipe open, so all such
 * forks belong into one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

struct process_options {
	const char *const *argv;            /* NULL-terminated; argv[0] is an absolute path, or is looked up in `path` */
	const char *const *envp;            /* NULL-terminated; NULL = empty environment */
	const char *cwd;                    /* NULL = the caller's */
	int stdin_fd, stdout_fd, stderr_fd; /* -1 = /dev/null. Not closed: they stay the caller's. */
	const int *keep_fds;                /* further descriptors that survive exec, same numbers; all others are closed */
	size_t keep_fds_len;
	bool new_session;     /* setsid; otherwise setpgid: the child always leads its own group */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL, with the getppid() check (docs/protocol.md section 5) */
	uint64_t limit_nofile, limit_fsize_bytes, limit_nproc, limit_data_bytes; /* 0 = unchanged */
	int cgroup_fd;         /* of a cgroup.procs that the child joins before exec; <= 0 = none. The caller's. */
	bool *ret_exec_failed; /* NULL, or set when exec itself fails: the program's fault, not that of what comes before */
};

/* argv[0] without a slash is looked up in PATH of envp, else in /usr/local/bin:/usr/bin:/bin. ERR_NOT_FOUND,
 * ERR_DENIED, … from exec. */
int process_spawn(const struct process_options *options, pid_t *ret_pid, struct error *err) MUST_CHECK;

/* Waits for one pid until the deadline (by pidfd). ERR_TIMEOUT leaves it running. ret_status is waitpid's. */
int process_wait(pid_t pid, int64_t deadline_ms, int *ret_status, struct error *err) MUST_CHECK;

/* SIGTERM to the group, up to grace_ms for the leader to end, then SIGKILL to the group, and reaps the leader. ESRCH is
 * fine. The leader must not have been reaped before: its number, and so the group's, might be somebody else's by now.
 */
void process_kill_group(pid_t pgid, int64_t grace_ms);

/* Runs to completion with both outputs captured (each cut at its buffer's max; the rest is read and dropped), stdin
 * from `input` (may be NULL). The group is killed at the deadline (ERR_TIMEOUT), and what is left of it when the leader
 * has ended: a descendant that holds a pipe does not keep the caller waiting. ret_status is waitpid's. Options' stdio
 * fields are ignored. Stdin is a file in memory, not a pipe. */
int process_run(const struct process_options *options, const void *input, size_t input_len, int64_t deadline_ms,
				struct buffer *out, struct buffer *err_out, int *ret_status, struct error *err) MUST_CHECK;
