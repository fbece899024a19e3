#include "executor/sandbox/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"
#include "executor/sandbox/cgroup.h"
#include "executor/sandbox/report.h"

int sandbox_exec_failed(struct error *err)
{
	static const int programs[] = {ENOENT, ENOTDIR, EACCES, EPERM, ELOOP, ENOEXEC, E2BIG};
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		if (err->sys_errno == programs[i])
			err->kind = ERR_INVALID;
	}
	return -1;
}

int sandboxed_status(const struct sandboxed *sandboxed, int child_status, int *ret_status, struct error *err)
{
	struct sandbox_report report = {.kind = 0};
	if (sandboxed->status_fd < 0) {
		*ret_status = child_status;
		return 0;
	}
	/* Its writers are dead: it does not block. */
	ssize_t got = fd_read_up_to(sandboxed->status_fd, &report, sizeof(report));
	if (got != (ssize_t)sizeof(report)) {
		/* Killed from outside, with all that was in it; or bubblewrap's own failure, which it has told on standard
		 * error. */
		if (WIFSIGNALED(child_status) || WEXITSTATUS(child_status) == 128 + SIGKILL) {
			*ret_status = SIGKILL;
			return 0;
		}
		return error_set(err, ERR_UNAVAILABLE, "the sandbox did not start (bubblewrap ended with exit status %d)",
						 WEXITSTATUS(child_status));
	}
	switch ((enum sandbox_report_kind)report.kind) {
	case SANDBOX_AGENT_ENDED:
		*ret_status = report.value;
		return 0;
	case SANDBOX_EXEC_FAILED:
		(void)error_set_errno(err, report.value, "the agent's program cannot be run in the sandbox"); /* told below */
		return sandbox_exec_failed(err);
	case SANDBOX_SET_UP_FAILED:
		break;
	}
	return error_set(err, ERR_UNAVAILABLE, "the sandbox did not start (%s)", strerror(report.value));
}

void sandboxed_release(struct sandboxed *sandboxed)
{
	if (sandboxed->status_fd >= 0)
		(void)close(sandboxed->status_fd); /* read only */
	if (sandboxed->cgroup != NULL)
		cgroup_remove(sandboxed->cgroup);
	free(sandboxed->cgroup);
	*sandboxed = (struct sandboxed){.status_fd = -1};
}

uint64_t sandbox_limit(int resource, int64_t wanted)
{
	struct rlimit limit;
	if (getrlimit((__rlimit_resource_t)resource, &limit) == 0 && limit.rlim_max != RLIM_INFINITY &&
		limit.rlim_max < (rlim_t)wanted)
		return limit.rlim_max;
	return (uint64_t)wanted;
}
