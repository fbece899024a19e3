#include "executor/daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/process.h"
#include "common/base/str.h"

#define READ_BYTES 65536
#define READS_A_TURN 32
#define SOCKET_BYTES ((size_t)256 * 1024)
#define SELF "/proc/self/exe"

extern char **environ;

/* Our own settings and what libraries need; the child builds its own children's environments from nothing. */
static bool is_passed_on(const char *entry)
{
	static const char *const prefixes[] = {
		"KILN_",         "PATH=",         "LANG=",          "TZ=",           "TMPDIR=",       "SSL_CERT_FILE=",
		"SSL_CERT_DIR=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS=", "LD_LIBRARY_PATH="};
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (str_starts(entry, prefixes[i]))
			return true;
	}
	return false;
}

static const char **build_environment(void)
{
	size_t count = 0, kept = 0;
	while (environ[count] != NULL)
		count++;
	const char **envp = xcalloc(count + 1, sizeof(*envp));
	for (size_t i = 0; i < count; i++) {
		if (is_passed_on(environ[i]))
			envp[kept++] = environ[i];
	}
	return envp;
}

int child_start_program(const char *mode, const char *agent_versions, int socket_fd, pid_t *ret_pid, struct error *err)
{
	char program[4096];
	ssize_t len = readlink(SELF, program, sizeof(program) - 1);
	/* A binary that was replaced meanwhile is run all the same: the link leads to the very file that we are. */
	if (len > 0)
		program[len] = '\0';
	if (len <= 0 || access(program, X_OK) < 0)
		(void)snprintf(program, sizeof(program), "/proc/%d/exe", (int)getpid());
	const char *argv[] = {program, mode, agent_versions, NULL};
	CLEANUP(free_p) const char **envp = build_environment();
	struct process_options options = {
		.argv = argv,
		.envp = envp,
		.stdin_fd = socket_fd,
		.stdout_fd = -1,
		.stderr_fd = STDERR_FILENO,
		.new_session = true,
		.die_with_parent = true,
	};
	return process_spawn(&options, ret_pid, err);
}

static int make_sockets(int *ret_ours, int *ret_its, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, errno, "socketpair");
	int size = SOCKET_BYTES;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* only faster */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* only faster */
	*ret_ours = ends[0];
	*ret_its = ends[1];
	return 0;
}

int child_spawn(struct child *child, struct nursery *nursery, const char *agent_versions, struct error *err)
{
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int its = -1;
	pid_t pid = 0;
	if (make_sockets(&ours, &its, err) < 0)
		return -1;
	if (!nursery_fork(nursery, its, &pid)) {
		/* What a nursery that did not answer may yet make of this socket finds its other end closed, and ends. */
		close_p(&ours);
		close_p(&its);
		if (make_sockets(&ours, &its, err) < 0 ||
			child_start_program("run-attempt", agent_versions, its, &pid, err) < 0)
			return -1;
	}
	nursery_start(nursery, agent_versions);
	*child = (struct child){.pid = pid, .fd = fd_take(&ours)};
	buffer_init(&child->in, FRAME_MAX_BYTES + FRAME_HEADER_BYTES + READ_BYTES);
	buffer_init(&child->out, 2 * (FRAME_MAX_BYTES + FRAME_HEADER_BYTES));
	return 0;
}

void child_release(struct child *child)
{
	if (child->fd >= 0)
		(void)close(child->fd); /* a socket */
	child->fd = -1;
	buffer_release(&child->in);
	buffer_release(&child->out);
}

void child_kill(const struct child *child)
{
	if (child->pid > 0)
		(void)kill(child->pid, SIGKILL); /* ESRCH cannot be: only we reap it */
}

void child_flush(struct child *child)
{
	while (child->fd >= 0 && child->out.len > 0) {
		ssize_t sent = send(child->fd, child->out.data, child->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			buffer_consume(&child->out, (size_t)sent);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			buffer_clear(&child->out); /* it is gone */
		return;
	}
}

void child_send(struct child *child, enum frame_type type, uint64_t id, const void *data, size_t len)
{
	if (child->fd < 0)
		return;
	/* Sixteen bytes for each of its 64 unacknowledged frames: only a broken child can fill this. */
	if (frame_append(&child->out, type, id, data, len) < 0)
		child_kill(child);
	child_flush(child);
}

bool child_read(struct child *child)
{
	for (int turn = 0; turn < READS_A_TURN; turn++) { /* bounded: others wait too */
		char *room = buffer_reserve(&child->in, READ_BYTES);
		if (room == NULL)
			return true; /* frames wait to be taken out */
		ssize_t got = recv(child->fd, room, READ_BYTES, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (got <= 0) {
			child->ended = true;
			return false;
		}
		buffer_commit(&child->in, (size_t)got);
	}
	return true;
}

short child_events(const struct child *child, bool reading)
{
	return (short)((reading && !child->ended ? POLLIN : 0) | (child->out.len > 0 ? POLLOUT : 0));
}
