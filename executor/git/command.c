#include "executor/git/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/str.h"
#include "executor/descendants.h"
#include "executor/git/remote.h"

#define MAX_ARGS 64
#define MAX_LINE_BYTES 8192
#define MAX_ERROR_BYTES ((size_t)32 * 1024)
#define AFTER_KILL_MS 10000
#define OWN_MEMORY_BYTES (INT64_C(64) * 1024 * 1024) /* of git and its libraries */

static const char *const fixed_options[] = {
	"protocol.version=2",
	"http.followRedirects=false",
	"http.lowSpeedLimit=1",
	"http.lowSpeedTime=60",
	"http.proxy=",
	"credential.helper=",
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"gc.auto=0",
	"maintenance.auto=false",
	"push.gpgSign=false",
	"submodule.recurse=false",
	"advice.pushUpdateRejected=false",
};

struct arguments {
	const char *items[MAX_ARGS + 1];
	size_t len;
};

static void add(struct arguments *arguments, const char *argument)
{
	CHECK(arguments->len < MAX_ARGS);
	arguments->items[arguments->len++] = argument;
	arguments->items[arguments->len] = NULL;
}

static void build_argv(struct arguments *argv, const struct git_access *access, const char *git_dir_option,
					   const char *const *args)
{
	add(argv, "git");
	add(argv, git_dir_option);
	for (size_t i = 0; i < ARRAY_LEN(fixed_options); i++) {
		add(argv, "-c");
		add(argv, fixed_options[i]);
	}
	for (size_t i = 0; i < access->options_len; i++) {
		add(argv, "-c");
		add(argv, access->options[i]);
	}
	for (size_t i = 0; args[i] != NULL; i++)
		add(argv, args[i]);
}

/* Not more than we may have ourselves. */
static uint64_t limit_of(__rlimit_resource_t resource, int64_t bytes)
{
	struct rlimit ours;
	CHECK(getrlimit(resource, &ours) == 0);
	return ours.rlim_cur < (rlim_t)bytes ? ours.rlim_cur : (rlim_t)bytes;
}

static int spawn(struct git_command *command, const char *git_dir, const char *const *args, int out_fd, int err_fd,
				 struct error *err)
{
	const struct git_remote *remote = command->remote;
	CLEANUP(free_p) char *git_dir_option = xasprintf("--git-dir=%s", git_dir);
	struct arguments argv = {.len = 0};
	build_argv(&argv, &command->access, git_dir_option, args);

	CLEANUP(free_p) char *home = xasprintf("HOME=%s", remote->scratch_dir);
	const char *ca_file = getenv("SSL_CERT_FILE");
	CLEANUP(free_p) char *ca = ca_file != NULL ? xasprintf("GIT_SSL_CAINFO=%s", ca_file) : NULL;
	struct arguments envp = {.len = 0};
	static const char *const fixed_environment[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_ALLOW_PROTOCOL=http:https:ssh",
		"GIT_SSH_VARIANT=ssh",
	};
	for (size_t i = 0; i < ARRAY_LEN(fixed_environment); i++)
		add(&envp, fixed_environment[i]);
	add(&envp, home);
	if (ca != NULL)
		add(&envp, ca);
	if (command->access.ssh_command != NULL)
		add(&envp, command->access.ssh_command);

	int keep[3];
	size_t keep_len = 0;
	if (remote->lock_fd >= 0)
		keep[keep_len++] = remote->lock_fd;
	if (remote->mirror_fd > 0)
		keep[keep_len++] = remote->mirror_fd;
	if (command->access.token_fd >= 0)
		keep[keep_len++] = command->access.token_fd;
	struct process_options options = {
		.argv = argv.items,
		.envp = envp.items,
		.cwd = remote->scratch_dir,
		.stdin_fd = -1,
		.stdout_fd = out_fd,
		.stderr_fd = err_fd,
		.keep_fds = keep,
		.keep_fds_len = keep_len,
		.new_session = true, /* no terminal to ask on */
		.die_with_parent = true,
	};
	if (remote->memory_bytes > 0)
		options.limit_data_bytes = limit_of(RLIMIT_DATA, remote->memory_bytes + OWN_MEMORY_BYTES);
	if (remote->file_bytes > 0)
		options.limit_fsize_bytes = limit_of(RLIMIT_FSIZE, remote->file_bytes);
	return process_spawn(&options, &command->pid, err);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* pipes: nothing is written behind */
	*fd = -1;
}

static int start(struct git_command *command, const char *git_dir, const char *const *args, struct error *err)
{
	int out[2] = {-1, -1}, errors[2] = {-1, -1};
	int rc = -1;
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0 || fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0)
		(void)error_set_errno(err, errno, "pipe"); /* rc says it */
	else
		rc = spawn(command, git_dir, args, out[1], errors[1], err);
	close_fd(&out[1]);
	close_fd(&errors[1]);
	command->out_fd = out[0];
	command->err_fd = errors[0];
	if (rc == 0) {
		command->pidfd = pidfd_open(command->pid, 0);
		if (command->pidfd < 0)
			rc = error_set_errno(err, errno, "pidfd of git");
	}
	return rc;
}

int git_command_start(struct git_command *command, const struct git_remote *remote, const char *git_dir,
					  const char *const *args, int64_t deadline_ms, git_line *on_line, void *ctx, struct error *err)
{
	*command = (struct git_command){.remote = remote,
									.access = {.token_fd = -1},
									.pidfd = -1,
									.out_fd = -1,
									.err_fd = -1,
									.deadline_ms = deadline_ms,
									.on_line = on_line,
									.ctx = ctx,
									.interruptible = true};
	buffer_init(&command->line, MAX_LINE_BYTES);
	buffer_init(&command->errors, MAX_ERROR_BYTES);
	if ((remote->url_text == NULL || git_access_open(remote, deadline_ms, &command->access, err) == 0) &&
		start(command, git_dir, args, err) == 0)
		return 0;
	git_command_release(command);
	return -1;
}

void git_command_release(struct git_command *command)
{
	if (command->pid > 0) { /* not waited for: an error between */
		int status;
		bool ended;
		(void)descendants_kill(clock_boot_ms() + AFTER_KILL_MS, 0, &status,
							   &ended); /* what is left is killed with this child */
	}
	command->pid = 0;
	close_fd(&command->pidfd);
	close_fd(&command->out_fd);
	close_fd(&command->err_fd);
	git_access_close(&command->access);
	buffer_release(&command->line);
	buffer_release(&command->errors);
}

/* Cuts what came into lines; a line over the limit is passed on in pieces, which no reader of ours takes for a record.
 */
static void take_output(struct git_command *command, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline != NULL ? (size_t)(newline - data) : len;
		bool whole = newline != NULL;
		if (part > MAX_LINE_BYTES - 1 - command->line.len) {
			part = MAX_LINE_BYTES - 1 - command->line.len;
			whole = false;
		}
		(void)buffer_append(&command->line, data, part); /* fits, as just computed */
		data += part + (whole ? 1 : 0);
		len -= part + (whole ? 1 : 0);
		if (whole || command->line.len == MAX_LINE_BYTES - 1) {
			if (command->on_line != NULL)
				command->on_line(command->ctx, command->line.data, command->line.len);
			buffer_clear(&command->line);
		}
	}
}

/* Reads what is there. Closes the descriptor at its end. */
static void read_pipe(struct git_command *command, int *fd)
{
	char chunk[16384];
	for (int turn = 0; turn < 64 && *fd >= 0; turn++) { /* bounded: the deadline must be looked at */
		ssize_t got = read(*fd, chunk, sizeof(chunk));
		if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (errno == EAGAIN)
				return;
			continue;
		}
		if (got <= 0) {
			close_fd(fd);
		} else if (fd == &command->out_fd) {
			take_output(command, chunk, (size_t)got);
		} else {
			size_t room = command->errors.max - command->errors.len;
			(void)buffer_append(&command->errors, chunk,
								(size_t)got < room ? (size_t)got : room); /* the rest is dropped */
		}
	}
}

/* 1: ended, 0: go on, -1: deadline or interruption. */
static int wait_turn(struct git_command *command, struct error *err)
{
	const struct git_remote *remote = command->remote;
	bool watch = command->interruptible && remote->interrupted != NULL;
	struct pollfd ready[] = {
		{.fd = command->pidfd, .events = POLLIN},
		{.fd = command->out_fd, .events = POLLIN},
		{.fd = command->err_fd, .events = POLLIN},
		{.fd = watch ? remote->interrupt_fd : -1, .events = POLLIN},
	};
	int count = poll(ready, ARRAY_LEN(ready), clock_left_ms(command->deadline_ms));
	CHECK(count >= 0 || errno == EINTR);
	if (count > 0) {
		read_pipe(command, &command->out_fd);
		read_pipe(command, &command->err_fd);
		if (ready[0].revents != 0)
			return 1;
		if (watch && ready[3].revents != 0 && remote->interrupted(remote->interrupt_ctx))
			return error_set(err, ERR_CANCELLED, "cancelled");
	}
	/* Also of one that has more to read at each turn. */
	return clock_left_ms(command->deadline_ms) == 0 ? error_set(err, ERR_TIMEOUT, "git has not ended in time") : 0;
}

/* Blanks at a line's end are what the other side would clear a terminal's line by. */
static void pass_on_errors(const struct git_command *command)
{
	const struct git_remote *remote = command->remote;
	const char *text = command->errors.data;
	if (command->quiet_if_missing && command->errors.len > 0 && remote_error_kind(text) == ERR_NOT_FOUND)
		return;
	for (size_t at = 0; remote->said != NULL && at < command->errors.len;) {
		const char *newline = memchr(text + at, '\n', command->errors.len - at);
		size_t end = newline != NULL ? (size_t)(newline - text) : command->errors.len, len = end - at;
		while (len > 0 && (text[at + len - 1] == ' ' || text[at + len - 1] == '\r'))
			len--;
		if (len > 0)
			remote->said(remote->said_ctx, text + at, len);
		at = end + 1;
	}
}

int git_command_wait(struct git_command *command, int *ret_status, struct error *err)
{
	int rc = 0;
	while (rc == 0)
		rc = wait_turn(command, err);
	pass_on_errors(command);
	int status = 0;
	bool ended = false;
	bool none_left = rc > 0 && descendants_reap(command->pid, &status, &ended);
	if (!none_left)
		none_left = descendants_kill(clock_boot_ms() + AFTER_KILL_MS, command->pid, &status, &ended);
	command->pid = none_left ? 0 : command->pid;
	if (rc < 0)
		return -1;
	if (!ended)
		return error_set(err, ERR_INTERNAL, "git cannot be killed");
	if (command->line.len > 0 && command->on_line != NULL) /* a last line without newline */
		command->on_line(command->ctx, command->line.data, command->line.len);
	*ret_status = status;
	return 0;
}
