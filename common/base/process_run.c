#include "common/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"

/* An output of the child: our end, and where its bytes go. */
struct capture {
	int fd;
	struct buffer *buf;
};

/* Reads until the pipe is empty; closes at its end. Not more than a pipe can hold (1 MiB) at once: a child that writes
 * faster than we read must not keep us from the deadline. */
static void drain(struct capture *capture)
{
	char chunk[16384];
	for (int turn = 0; turn < 64 && capture->fd >= 0; turn++) {
		ssize_t got = read(capture->fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			close_p(&capture->fd);
			return;
		}
		size_t room = capture->buf->max - capture->buf->len;
		(void)buffer_append(capture->buf, chunk, (size_t)got < room ? (size_t)got : room); /* the rest is dropped */
	}
}

static int open_pipe(int *ret_read_fd, int *ret_write_fd, struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) { /* our end only: the child's blocks, as programs expect */
		(void)close(ends[0]);
		(void)close(ends[1]);
		return error_set_errno(err, errno, "pipe");
	}
	*ret_read_fd = ends[0];
	*ret_write_fd = ends[1];
	return 0;
}

/* Reads both outputs until the leader has ended. False when the deadline comes first. */
static bool follow(int pidfd, struct capture captures[2], int64_t deadline_ms)
{
	for (;;) {
		struct pollfd ready[] = {
			{.fd = pidfd, .events = POLLIN},
			{.fd = captures[0].fd, .events = POLLIN}, /* poll skips -1 */
			{.fd = captures[1].fd, .events = POLLIN},
		};
		int count = poll(ready, ARRAY_LEN(ready), clock_left_ms(deadline_ms));
		CHECK(count >= 0 || errno == EINTR);
		bool ended = count > 0 && ready[0].revents != 0;
		drain(&captures[0]);
		drain(&captures[1]);
		if (ended)
			return true;
		if (clock_left_ms(deadline_ms) == 0)
			return false;
	}
}

int process_run(const struct process_options *options, const void *input, size_t input_len, int64_t deadline_ms,
				struct buffer *out, struct buffer *err_out, int *ret_status, struct error *err)
{
	CLEANUP(close_p) int stdin_fd = -1;
	CLEANUP(close_p) int out_read = -1;
	CLEANUP(close_p) int out_write = -1;
	CLEANUP(close_p) int err_read = -1;
	CLEANUP(close_p) int err_write = -1;
	/* As a file in memory: the child reads at its own speed, and we neither poll for it nor meet EPIPE. */
	if (input != NULL && (stdin_fd = fd_of_bytes("stdin", input, input_len)) < 0)
		return error_set_errno(err, errno, "input of the process");
	if (open_pipe(&out_read, &out_write, err) < 0 || open_pipe(&err_read, &err_write, err) < 0)
		return -1;

	struct process_options with_stdio = *options;
	with_stdio.stdin_fd = stdin_fd;
	with_stdio.stdout_fd = out_write;
	with_stdio.stderr_fd = err_write;
	pid_t pid;
	if (process_spawn(&with_stdio, &pid, err) < 0)
		return -1;
	close_p(&out_write);
	close_p(&err_write);
	CLEANUP(close_p) int pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int errnum = errno;
		process_kill_group(pid, 0);
		return error_set_errno(err, errnum, "%s: pidfd", options->argv[0]);
	}

	struct capture captures[2] = {{out_read, out}, {err_read, err_out}};
	bool ended = follow(pidfd, captures, deadline_ms);
	out_read = captures[0].fd; /* -1 when it came to its end */
	err_read = captures[1].fd;
	if (!ended) {
		process_kill_group(pid, 0);
		return error_set(err, ERR_TIMEOUT, "%s: has not ended in time", options->argv[0]);
	}
	/* Descendants that outlive the leader end with it; first the kill, then the reaping that frees the group's number.
	 */
	(void)kill(-pid, SIGKILL);
	return process_wait(pid, clock_boot_ms(), ret_status, err);
}
