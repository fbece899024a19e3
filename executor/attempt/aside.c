#include "executor/attempt/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/process.h"
#include "executor/attempt/memory_bound.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define KILLED_MS 10000 /* it may be in the kernel, on a disk that hangs */

/* What comes through the pipe before the `out_len` bytes of `out`. Both ends are of one program. */
struct answer {
	int rc;
	struct error err;
	size_t out_len;
};

NORETURN static void be_aside(const struct aside_limits *limits, pid_t parent, aside_work *work, void *ctx, int to,
							  size_t room)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);                         /* nobody waits for it */
	(void)prctl(PR_SET_NAME, "kiln-aside"); /* for those who look at processes */
	if (limits->link != NULL)
		(void)close(limits->link->fd);            /* the attempt's */
	(void)memory_bound_set(limits->memory_bytes); /* never lifted */
	struct answer answer;
	memset(&answer, 0, sizeof(answer)); /* with its padding, for it is written as bytes */
	struct buffer out;
	buffer_init(&out, room);
	answer.rc = work(ctx, &out, &answer.err);
	answer.out_len = out.len;
	int rc = fd_write_all(to, &answer, sizeof(answer));
	if (rc == 0)
		rc = fd_write_all(to, out.data, out.len);
	_exit(rc == 0 ? 0 : 1); /* not what the attempt has registered for its own end */
}

/* Until the process closes its end. */
static int wait_answer(const struct aside_limits *limits, int from, struct buffer *in, struct error *err)
{
	for (;;) {
		if (limits->link != NULL && daemon_link_receive(limits->link))
			return error_set(err, ERR_CANCELLED, "cancelled");
		int left_ms = clock_left_ms(limits->deadline_ms);
		struct pollfd ready[] = {{.fd = from, .events = POLLIN},
								 {.fd = limits->link != NULL ? limits->link->fd : -1, .events = POLLIN}};
		int count = poll(ready, ARRAY_LEN(ready), left_ms);
		CHECK(count >= 0 || errno == EINTR);
		/* An answer that is there counts, whoever stood still meanwhile. */
		if (left_ms == 0 && (count <= 0 || ready[0].revents == 0))
			return error_set(err, ERR_TIMEOUT, "it took too long");
		if (count <= 0 || ready[0].revents == 0)
			continue;
		char *room = buffer_reserve(in, CHUNK_BYTES);
		CHECK(room != NULL); /* no more comes than is made room for */
		ssize_t got = read(from, room, CHUNK_BYTES);
		if (got == 0)
			return 0;
		if (got > 0)
			buffer_commit(in, (size_t)got);
		else if (errno != EINTR)
			return error_set_errno(err, errno, "reading what came of it");
	}
}

/* It has nothing more to say. */
static int end_it(pid_t pid, struct error *err)
{
	int status;
	(void)kill(pid, SIGKILL); /* it is ours until it is waited for */
	return process_wait(pid, clock_boot_ms() + KILLED_MS, &status, err);
}

static int take_answer(const struct buffer *in, struct buffer *out, struct error *err)
{
	struct answer answer;
	if (in->len < sizeof(answer))
		return error_set(err, ERR_INTERNAL, "its process died");
	memcpy(&answer, in->data, sizeof(answer));
	if (answer.rc < 0) {
		*err = answer.err;
		return -1;
	}
	if (in->len != sizeof(answer) + answer.out_len)
		return error_set(err, ERR_INTERNAL, "its process died");
	(void)buffer_append(out, in->data + sizeof(answer), answer.out_len); /* there is room: it had no more */
	return answer.rc;
}

int aside_run(const struct aside_limits *limits, aside_work *work, void *ctx, struct buffer *out, struct error *err)
{
	int ends[2];
	size_t room = out->max - out->len;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	CLEANUP(close_p) int from = ends[0];
	CLEANUP(close_p) int to = ends[1];
	pid_t self = getpid(), pid = fork();
	if (pid < 0)
		return error_set_errno(err, errno, "fork");
	if (pid == 0) {
		close_p(&from);
		be_aside(limits, self, work, ctx, to, room);
	}
	close_p(&to);
	CLEANUP(buffer_release_p) struct buffer in;
	buffer_init(&in, sizeof(struct answer) + room + 2 * CHUNK_BYTES);
	int rc = wait_answer(limits, from, &in, err);
	struct error why = ERROR_INIT;
	if (end_it(pid, &why) < 0 && rc == 0) /* else the first failure stays; the daemon sweeps up what is left */
		return error_set(err, ERR_INTERNAL, "%s", why.message);
	return rc < 0 ? -1 : take_answer(&in, out, err);
}
