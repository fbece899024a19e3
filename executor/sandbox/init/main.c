/*
 * kiln-sandbox-init: the first process in a sandbox. Sets the agent's limits, relays its model address to the proxy's
 * socket, runs it, reaps what becomes an orphan, and tells the executor how the agent ended. When it ends, the kernel
 * kills whatever is left in the sandbox.
 *
 *   kiln-sandbox-init STATUS_FD RELAY OPEN_FILES FILE_BYTES PROCESSES CPU_SECONDS PROGRAM [ARGUMENT…]
 *
 * It shares no code with the executor and is linked statically: it starts in a fraction of a millisecond, in a root
 * that has nothing of ours. The agent has the same user, so nothing of the executor's is in this process's memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/sandbox/init/relay.h"
#include "executor/sandbox/report.h"

#define FIRST_FREE_FD 3
#define CPU_GRACE_S 5 /* between SIGXCPU and SIGKILL */

enum argument {
	ARGUMENT_SELF,
	ARGUMENT_STATUS_FD,
	ARGUMENT_RELAY,
	ARGUMENT_OPEN_FILES,
	ARGUMENT_FILE_BYTES,
	ARGUMENT_PROCESSES,
	ARGUMENT_CPU_SECONDS,
	ARGUMENT_PROGRAM
};

extern char **environ;

static int status_fd = -1;

static void tell(enum sandbox_report_kind kind, int value)
{
	struct sandbox_report report = {.kind = (int)kind, .value = value};
	ssize_t written;
	do {
		written = write(status_fd, &report, sizeof(report));
	} while (written < 0 && errno == EINTR);
}

static _Noreturn void fail(void)
{
	tell(SANDBOX_SET_UP_FAILED, errno);
	_exit(1);
}

static uint64_t number(const char *text)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno == 0 && (*end != '\0' || text[0] == '\0'))
		errno = EINVAL;
	if (errno != 0)
		fail();
	return value;
}

/* 0 = as it is. A hard limit that is lower already stays. */
static int lower(__rlimit_resource_t resource, uint64_t soft, uint64_t hard)
{
	struct rlimit limit;
	if (soft == 0)
		return 0;
	if (getrlimit(resource, &limit) < 0)
		return -1;
	if (limit.rlim_max > hard)
		limit.rlim_max = hard;
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	return setrlimit(resource, &limit);
}

static int set_limits(char **argv)
{
	uint64_t files = number(argv[ARGUMENT_OPEN_FILES]), bytes = number(argv[ARGUMENT_FILE_BYTES]);
	uint64_t processes = number(argv[ARGUMENT_PROCESSES]), seconds = number(argv[ARGUMENT_CPU_SECONDS]);
	if (lower(RLIMIT_NOFILE, files, files) < 0 || lower(RLIMIT_FSIZE, bytes, bytes) < 0 ||
		lower(RLIMIT_NPROC, processes, processes) < 0 || lower(RLIMIT_CPU, seconds, seconds + CPU_GRACE_S) < 0)
		return -1;
	struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
	return setrlimit(RLIMIT_CORE, &none);
}

/* When the machine has no memory left, the kernel takes an agent and not its neighbours. */
static void go_first(void)
{
	static const char most[] = "1000";
	if (prctl(PR_SET_DUMPABLE, 1) < 0) /* else the file is root's; exec does the same */
		return;
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, most, sizeof(most) - 1); /* the limits hold without it */
	(void)close(fd);                          /* as above */
}

static _Noreturn void run_agent(char **argv, const sigset_t *signals)
{
	if (setsid() < 0 || set_limits(argv) < 0 || sigprocmask(SIG_SETMASK, signals, NULL) < 0) {
		tell(SANDBOX_SET_UP_FAILED, errno);
		_exit(127);
	}
	go_first();
	(void)execve(argv[ARGUMENT_PROGRAM], argv + ARGUMENT_PROGRAM, environ); /* returns only to fail */
	tell(SANDBOX_EXEC_FAILED, errno);
	_exit(127);
}

/* Reaps all that have ended; true when the agent is one of them. */
static bool reap(pid_t agent, int *ret_status)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return false;
		if (pid == agent) {
			*ret_status = status;
			return true;
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t child, before;
	int status = 0;
	if (argc <= ARGUMENT_PROGRAM)
		return 2;
	status_fd = (int)number(argv[ARGUMENT_STATUS_FD]);
	/* Not to be looked into by the agent, which has the same user: /proc/1 belongs to nobody from here on. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || close_range(FIRST_FREE_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail();
	(void)sigemptyset(&child);        /* cannot fail */
	(void)sigaddset(&child, SIGCHLD); /* as above */
	(void)signal(SIGPIPE, SIG_DFL);   /* as above; the relay sends with MSG_NOSIGNAL */
	if (sigprocmask(SIG_BLOCK, &child, &before) < 0)
		fail();
	(void)sigdelset(&before, SIGCHLD); /* as above */
	int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	bool relaying = number(argv[ARGUMENT_RELAY]) != 0;
	if (signal_fd < 0 || (relaying && relay_open() < 0))
		fail();
	pid_t agent = fork();
	if (agent < 0)
		fail();
	if (agent == 0)
		run_agent(argv, &before);
	/* Its outputs end with the agent's processes, not with us. */
	(void)close(STDIN_FILENO);  /* an inherited descriptor */
	(void)close(STDOUT_FILENO); /* as above */
	(void)close(STDERR_FILENO); /* as above */
	while (!reap(agent, &status))
		relay_turn(signal_fd);
	tell(SANDBOX_AGENT_ENDED, status);
	return 0;
}
