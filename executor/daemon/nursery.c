#include "executor/daemon/nursery.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "executor/attempt/nursery.h"
#include "executor/daemon/child.h"

#define STOP_MS 2000
#define ANSWER_S 2 /* it forks in a millisecond, and prepares itself in some 25 */

void nursery_init(struct nursery *nursery)
{
	*nursery = (struct nursery){.fd = -1};
}

static void give_up(struct nursery *nursery)
{
	close_p(&nursery->fd);
	if (nursery->pid > 0)
		(void)kill(nursery->pid, SIGKILL); /* only we reap it */
}

void nursery_start(struct nursery *nursery, const char *agent_versions)
{
	struct error err = ERROR_INIT;
	int ends[2];
	if (nursery->pid > 0) /* also one that is given up and not reaped yet */
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		log_warn("no nursery", "error", strerror(errno), NULL);
		return;
	}
	struct timeval timeout = {.tv_sec = ANSWER_S};
	CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
	int rc = child_start_program("nursery", agent_versions, ends[1], &nursery->pid, &err);
	(void)close(ends[1]); /* it has its copy */
	nursery->fd = ends[0];
	if (rc < 0) {
		log_warn("no nursery", "error", err.message, NULL);
		nursery_init(nursery);
		(void)close(ends[0]); /* of no use */
	}
}

static bool send_socket(int fd, int socket_fd)
{
	char byte = 0;
	/* As a union, for the alignment of its header. */
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &socket_fd, sizeof(socket_fd));
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static bool receive_pid(int fd, int flags, nursery_answer *ret_pid)
{
	ssize_t got;
	do {
		got = recv(fd, ret_pid, sizeof(*ret_pid), flags);
	} while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(*ret_pid);
}

bool nursery_fork(struct nursery *nursery, int socket_fd, pid_t *ret_pid)
{
	nursery_answer pid = -1;
	if (nursery->fd < 0)
		return false;
	if (!send_socket(nursery->fd, socket_fd) || !receive_pid(nursery->fd, 0, &pid)) {
		log_warn("the nursery does not answer: it is started again", NULL);
		give_up(nursery);
		return false;
	}
	if (pid <= 0) { /* the child may be there all the same, and its answer would be taken for the next one's */
		give_up(nursery);
		return false;
	}
	*ret_pid = pid;
	return true;
}

void nursery_child_ended(struct nursery *nursery, int status)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
	for (size_t i = 0; WIFSIGNALED(status) && i < ARRAY_LEN(crashes); i++) {
		if (WTERMSIG(status) == crashes[i])
			give_up(nursery);
	}
}

void nursery_ended(struct nursery *nursery)
{
	close_p(&nursery->fd);
	nursery->pid = 0;
}

void nursery_stop(struct nursery *nursery)
{
	give_up(nursery);
	int64_t deadline_ms = clock_boot_ms() + STOP_MS; /* it may be in the kernel, on a disk that hangs */
	while (nursery->pid > 0 && waitpid(nursery->pid, NULL, WNOHANG) == 0 && clock_boot_ms() < deadline_ms)
		(void)poll(NULL, 0, 1); /* until it is gone */
	nursery_init(nursery);
}
