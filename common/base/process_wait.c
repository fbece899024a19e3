#include "common/base/process.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define AFTER_KILL_MS 10000 /* SIGKILL is not refused, but a process in the kernel may take its time */

/* True when the process behind the pidfd has ended. */
static bool wait_pidfd(int pidfd, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd ready = {.fd = pidfd, .events = POLLIN};
		int left_ms = clock_left_ms(deadline_ms);
		int count = poll(&ready, 1, left_ms);
		CHECK(count >= 0 || errno == EINTR);
		if (count > 0)
			return true;
		if (count == 0 && left_ms < INT_MAX)
			return false;
	}
}

int process_wait(pid_t pid, int64_t deadline_ms, int *ret_status, struct error *err)
{
	int pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return error_set_errno(err, errno, "process %d", (int)pid);
	bool ended = wait_pidfd(pidfd, deadline_ms);
	(void)close(pidfd); /* nothing is written behind */
	if (!ended)
		return error_set(err, ERR_TIMEOUT, "process %d has not ended in time", (int)pid);
	int status;
	pid_t got;
	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set_errno(err, errno, "process %d", (int)pid);
	*ret_status = status;
	return 0;
}

void process_kill_group(pid_t pgid, int64_t grace_ms)
{
	CHECK(pgid > 1); /* 0 and -1 would be our own group and everybody */
	int pidfd = pidfd_open(pgid, 0);
	(void)kill(-pgid, SIGTERM); /* ESRCH: all gone */
	if (pidfd >= 0)
		(void)wait_pidfd(pidfd, clock_boot_ms() + (grace_ms > 0 ? grace_ms : 0)); /* what then follows is the same */
	/* Before the leader is reaped: as a zombie it keeps its number, and so the group's, from being used again. */
	(void)kill(-pgid, SIGKILL);
	if (pidfd < 0)
		return;
	bool ended = wait_pidfd(pidfd, clock_boot_ms() + AFTER_KILL_MS);
	(void)close(pidfd); /* nothing is written behind */
	if (ended)
		(void)waitpid(pgid, NULL, WNOHANG); /* ECHILD: not ours, or reaped by another thread */
}
