#include "executor/daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/alloc.h"
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

int child_spawn(struct child *child, const char *agent_versions, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, errno, "socketpair");
	int size = SOCKET_BYTES;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* only faster */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* only faster */
	char program[4096];
	ssize_t len = readlink(SELF, program, sizeof(program) - 1);
	/* A binary that was replaced meanwhile is run all the same: the link leads to the very file that we are. */
	if (len > 0)
		program[len] = '\0';
	if (len <= 0 || access(program, X_OK) < 0)
		(void)snprintf(program, sizeof(program), "/proc/%d/exe", (int)getpid());
	const char *argv[] = {program, "run-attempt", agent_versions, NULL};
	CLEANUP(free_p) const char **envp = build_environment();
	struct process_options options = {
		.argv = argv,
		.envp = envp,
		.stdin_fd = ends[1],
		.stdout_fd = -1,
		.stderr_fd = STDERR_FILENO,
		.new_session = true,
		.die_with_parent = true,
	};
	pid_t pid;
	int rc = process_spawn(&options, &pid, err);
	(void)close(ends[1]); /* the child has its copy */
	if (rc < 0) {
		(void)close(ends[0]); /* of no use */
		return -1;
	}
	*child = (struct child){.pid = pid, .fd = ends[0]};
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
