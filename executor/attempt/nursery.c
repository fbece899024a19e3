#include "executor/attempt/nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "common/base/fd.h"
#include "executor/attempt/run_attempt.h"

/* The next child's socket; -1: the daemon wants no more. */
static int receive_socket(int control)
{
	char byte;
	/* As a union, for the alignment of its header. */
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof(ancillary)};
	ssize_t got;
	do {
		got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	struct cmsghdr *header = got == 1 ? CMSG_FIRSTHDR(&message) : NULL;
	int fd = -1;
	if (header != NULL && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void answer(int control, nursery_answer pid)
{
	(void)send(control, &pid, sizeof(pid), MSG_NOSIGNAL); /* a daemon that is gone takes us along */
}

/* Waits until the process in between has ended: from then on the daemon is the parent, and its end the signal. */
static void become_child_of(pid_t daemon, pid_t between, int between_fd)
{
	char byte;
	while (read(between_fd, &byte, 1) < 0 && errno == EINTR) {
	}
	while (getppid() == between) /* its descriptors go before it does */
		(void)sched_yield();     /* never fails */
	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon)
		_exit(127); /* nobody waits for a child without a daemon */
}

/* In the child it returns true. */
static bool breed(int control, pid_t daemon)
{
	CLEANUP(close_p) int between_ends = -1;
	CLEANUP(close_p) int between_lives = -1;
	int ends[2], status = 1;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		answer(control, -1);
		return false;
	}
	between_ends = ends[0];
	between_lives = ends[1];
	pid_t between = fork();
	if (between == 0) {
		pid_t self = getpid(), child = fork();
		if (child != 0)
			_exit(child > 0 ? 0 : 1);
		close_p(&between_lives);
		become_child_of(daemon, self, between_ends);
		answer(control, getpid());
		return true;
	}
	close_p(&between_lives);
	while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR) {
	}
	if (between < 0 || status != 0)
		answer(control, -1);
	return false;
}

int nursery_main(const char *agent_versions)
{
	pid_t daemon = getppid(); /* who has started us dies with a signal to us */
	static struct run_attempt common;
	int control = run_attempt_take_socket();
	if (run_attempt_prepare(&common) < 0)
		return 2;
	for (;;) {
		CLEANUP(close_p) int socket_fd = receive_socket(control);
		if (socket_fd < 0)
			return 0;
		if (!breed(control, daemon))
			continue;
		(void)close(control); /* the nursery's */
		run_attempt_run(&common, agent_versions, fd_take(&socket_fd));
	}
}
