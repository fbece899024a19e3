#include "executor/attempt/agent_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/process.h"
#include "executor/attempt/agent_lines.h"
#include "executor/attempt/agent_model.h"
#include "executor/descendants.h"
#include "executor/sandbox/watch.h"

#define CHUNK_BYTES 65536
#define KILL_TIMEOUT_MS 15000
#define WHY_BYTES 200
#define LAST_READS 1024 /* chunks that are still read after the end: 64 MiB, more than pipes hold */

struct running {
	const struct agent_run *run;
	struct sandboxed sandboxed;
	int pidfd;
	int fds[2]; /* stdout, stderr; -1 = at its end */
	int64_t deadline_ms;
	int64_t kill_ms;  /* when SIGTERM becomes SIGKILL; INT64_MAX = not asked to end */
	int64_t heard_ms; /* when it printed something last, or was kept from it */
	int64_t printed_bytes;
	int64_t cut_bytes, cut_lines; /* over the limit: in no log */
	bool cut_in_line;
	int status;
	bool ended; /* the agent itself; others of its processes may live */
	enum agent_end end;
	struct watch watch;
	struct secrets_stream masked[2];
	struct buffer shown;      /* what of a read may be seen */
	struct agent_lines lines; /* of an agent that speaks a protocol */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* pipes and memory: nothing is written behind */
	*fd = -1;
}

static int spawn(struct running *running, int prompt_fd, const int outputs[2], struct error *err)
{
	const struct agent_run *run = running->run;
	const char *argv[AGENT_MAX_ARGS + 1], *envp[AGENT_MAX_ENV + 1];
	for (size_t i = 0; i <= run->program->argv_len; i++)
		argv[i] = run->program->argv[i];
	for (size_t i = 0; i <= run->program->envp_len; i++)
		envp[i] = run->program->envp[i];
	struct process_options options = {
		.argv = argv,
		.envp = envp,
		.stdin_fd = prompt_fd,
		.stdout_fd = outputs[0],
		.stderr_fd = outputs[1],
		.keep_fds = &run->lock_fd,
		.keep_fds_len = 1,
		.new_session = true,
		.die_with_parent = true,
	};
	return run->sandbox->spawn(run->sandbox_spec, &options, &running->sandboxed, err);
}

static int start(struct running *running, struct error *err)
{
	int out[2] = {-1, -1}, errors[2] = {-1, -1};
	/* In memory: it is read at the agent's own speed. */
	int prompt_fd = fd_of_bytes("prompt", running->run->prompt, strlen(running->run->prompt));
	int rc = prompt_fd < 0 ? error_set_errno(err, errno, "prompt") : 0;
	if (rc == 0 && (pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0 ||
					fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0))
		rc = error_set_errno(err, errno, "pipe");
	if (rc == 0)
		rc = spawn(running, prompt_fd, (int[]){out[1], errors[1]}, err);
	close_fd(&prompt_fd);
	close_fd(&out[1]);
	close_fd(&errors[1]);
	running->fds[0] = out[0];
	running->fds[1] = errors[0];
	if (rc == 0) {
		running->pidfd = pidfd_open(running->sandboxed.pid, 0);
		if (running->pidfd < 0)
			rc = error_set_errno(err, errno, "pidfd");
	}
	return rc;
}

/* Asks it to end, once; the first reason stays. */
static void ask_to_end(struct running *running, enum agent_end why)
{
	if (running->kill_ms != INT64_MAX)
		return;
	running->end = why;
	running->kill_ms = clock_boot_ms() + running->run->config->kill_grace_ms;
	/* What holds the agent would take it along without a word. */
	descendants_signal(SIGTERM, running->sandboxed.status_fd >= 0 ? running->sandboxed.pid : 0);
}

static void take_shown(struct running *running, int which, const char *data, size_t len)
{
	const struct agent_run *run = running->run;
	if (which == 0 && run->agent->read_event != NULL) {
		agent_lines_add(&running->lines, data, len);
		if (run->report->hopeless)
			ask_to_end(running, AGENT_STOPPED);
		return;
	}
	attempt_log_output(run->log, which == 0 ? STREAM_STDOUT : STREAM_STDERR, data, len);
	if (which == 0)
		output_tail_add(run->output, data, len);
}

/* Secrets are masked before anything else sees them, so that nobody who cuts a text can cut one in two. */
static void take_output(struct running *running, int which, const char *data, size_t len, bool last)
{
	buffer_clear(&running->shown);
	secrets_stream_add(&running->masked[which], &running->run->log->secrets, data, len, last, &running->shown);
	if (running->shown.len > 0)
		take_shown(running, which, running->shown.data, running->shown.len);
}

/* Over the limit it is read all the same: the agent must not hang while it is asked to end. */
static void cut_output(struct running *running, const char *data, size_t len)
{
	if (len == 0)
		return;
	running->cut_bytes += (int64_t)len;
	running->cut_in_line = data[len - 1] != '\n';
	for (const char *at = data; (at = memchr(at, '\n', len - (size_t)(at - data))) != NULL; at++)
		running->cut_lines++;
	ask_to_end(running, AGENT_PRINTED_TOO_MUCH);
}

static void say_what_was_cut(struct running *running)
{
	int64_t lines = running->cut_lines + (running->cut_in_line ? 1 : 0);
	if (running->cut_bytes > 0)
		attempt_log_left_out(running->run->log, running->cut_bytes, lines,
							 "truncated: %lld bytes (%lld lines) that the agent printed over its limit of %lld bytes "
							 "are not in this log",
							 (long long)running->cut_bytes, (long long)lines,
							 (long long)running->run->config->agent_output_limit_bytes);
}

/* One read. False when there is nothing (more) now. */
static bool read_output(struct running *running, int which)
{
	static char chunk[CHUNK_BYTES];
	const struct agent_run *run = running->run;
	ssize_t got = read(running->fds[which], chunk, sizeof(chunk));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) {
		close_fd(&running->fds[which]);
		return false;
	}
	running->heard_ms = clock_boot_ms();
	int64_t left = run->config->agent_output_limit_bytes - running->printed_bytes;
	ssize_t kept = got <= left ? got : left > 0 ? (ssize_t)left : 0;
	running->printed_bytes += got;
	take_output(running, which, chunk, (size_t)kept, false);
	cut_output(running, chunk + kept, (size_t)(got - kept));
	return true;
}

/* When its silence is too long, as far as is known now. */
static int64_t silence_ends_ms(const struct running *running)
{
	const struct agent_run *run = running->run;
	int64_t limit_ms = run->config->agent_no_progress_s * 1000, last_ms = running->heard_ms;
	if (limit_ms == 0)
		return INT64_MAX;
	int64_t model_ms = run->model_proxy != NULL ? model_proxy_active_ms(run->model_proxy) : 0;
	return (model_ms > last_ms ? model_ms : last_ms) + limit_ms;
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What the model proxy has told: into the log, and against the same limit as what the agent prints. */
static void take_model_lines(struct running *running)
{
	const struct agent_run *run = running->run;
	running->printed_bytes += agent_model_take(run->model_proxy, run->log, run->report);
	running->heard_ms = clock_boot_ms();
	if (run->report->hopeless)
		ask_to_end(running, AGENT_STOPPED);
	if (running->printed_bytes > run->config->agent_output_limit_bytes)
		ask_to_end(running, AGENT_PRINTED_TOO_MUCH);
}

/* Whether it is to end, by anything but what it prints. */
static void keep_limits(struct running *running, int64_t now_ms)
{
	const struct agent_run *run = running->run;
	if (run->link->cancelled) /* whoever sends or waits takes it in */
		ask_to_end(running, AGENT_CANCELLED);
	if (!running->ended && now_ms >= running->deadline_ms)
		ask_to_end(running, AGENT_TIMED_OUT);
	if (!running->ended && now_ms >= silence_ends_ms(running))
		ask_to_end(running, AGENT_MADE_NO_PROGRESS);
	char why[WHY_BYTES];
	/* Also while it is asked to end: that is a time like any other. */
	if (now_ms < running->kill_ms && watch_look(&running->watch, now_ms, why, sizeof(why))) {
		if (running->kill_ms == INT64_MAX)
			agent_report_fail(run->report, NULL, false, "%s", why);
		ask_to_end(running, AGENT_STOPPED); /* unless it was before */
		running->kill_ms = now_ms;          /* no grace: it would take more meanwhile */
	}
}

/* While what it has printed waits for room in the log, in the middle of a turn: nobody waits for Kafka with its limits. */
static void keep_limits_meanwhile(void *ctx)
{
	struct running *running = ctx;
	if (!running->ended)
		(void)descendants_reap(running->sandboxed.pid, &running->status, &running->ended); /* others are killed later */
	int64_t now_ms = clock_boot_ms();
	if (running->ended) { /* what it has left behind dies with it, and not when the turn is over */
		(void)descendants_kill(now_ms + KILL_TIMEOUT_MS, running->sandboxed.pid, &running->status, &running->ended);
		return;
	}
	running->heard_ms = now_ms; /* it cannot be heard */
	keep_limits(running, now_ms);
	if (now_ms >= running->kill_ms)
		(void)descendants_kill(now_ms + KILL_TIMEOUT_MS, running->sandboxed.pid, &running->status,
							   &running->ended); /* whoever is left is killed after the turn */
}

/* One turn of the loop: waits for whatever comes first. */
static void turn(struct running *running)
{
	const struct agent_run *run = running->run;
	bool reading = !attempt_log_blocked(run->log);
	if (!reading)
		running->heard_ms = clock_boot_ms(); /* it cannot be heard */
	struct pollfd ready[] = {
		{.fd = running->pidfd, .events = POLLIN},
		{.fd = run->link->fd, .events = POLLIN},
		{.fd = reading ? running->fds[0] : -1, .events = POLLIN},
		{.fd = reading ? running->fds[1] : -1, .events = POLLIN},
		{.fd = reading && run->model_proxy != NULL ? model_proxy_fd(run->model_proxy) : -1, .events = POLLIN},
	};
	int64_t wake_ms = earliest(reading ? run->log->due_ms : INT64_MAX,
							   running->kill_ms == INT64_MAX ? running->deadline_ms : running->kill_ms);
	if (running->kill_ms == INT64_MAX)
		wake_ms = earliest(wake_ms, silence_ends_ms(running));
	wake_ms = earliest(wake_ms, watch_due_ms(&running->watch));
	int count = poll(ready, ARRAY_LEN(ready), clock_left_ms(wake_ms));
	CHECK(count >= 0 || errno == EINTR);
	for (int which = 0; count > 0 && which < 2; which++) {
		if (ready[2 + which].revents != 0)
			(void)read_output(running, which); /* the next turn sees what is left */
	}
	if (count > 0 && ready[4].revents != 0)
		take_model_lines(running);
	if (count > 0 && ready[1].revents != 0)
		(void)daemon_link_receive(run->link); /* a cancel is looked at below */
	if (count > 0 && ready[0].revents != 0)
		(void)descendants_reap(running->sandboxed.pid, &running->status, &running->ended); /* others are killed below */
	int64_t now_ms = clock_boot_ms();
	attempt_log_tick(run->log, now_ms);
	keep_limits(running, now_ms);
}

/* What the pipes still hold. Their writers are dead, so this ends: there is no more of it than pipes hold, and what has
 * no room in the log does not wait for ever (log.h). */
static void read_the_rest(struct running *running)
{
	for (int which = 0; which < 2; which++) {
		for (int reads = 0; running->fds[which] >= 0 && reads < LAST_READS && read_output(running, which); reads++) {
		}
		take_output(running, which, NULL, 0, true);
		if (which == 0)
			agent_lines_end(&running->lines);
		attempt_log_end(running->run->log, which == 0 ? STREAM_STDOUT : STREAM_STDERR);
	}
	say_what_was_cut(running);
	attempt_log_flush(running->run->log);
}

int agent_run(const struct agent_run *run, enum agent_end *ret_end, struct error *err)
{
	struct running running = {.run = run,
							  .sandboxed = {.status_fd = -1},
							  .pidfd = -1,
							  .fds = {-1, -1},
							  .deadline_ms = clock_boot_ms() + run->timeout_ms,
							  .heard_ms = clock_boot_ms(),
							  .kill_ms = INT64_MAX,
							  .end = AGENT_EXITED};
	buffer_init(&running.shown, CHUNK_BYTES + SECRETS_WAITING_BYTES);
	agent_lines_init(&running.lines, run->agent, run->report, run->log);
	int rc = start(&running, err);
	if (rc == 0) {
		watch_init(&running.watch, run->sandbox, run->sandbox_spec, &running.sandboxed);
		run->log->meanwhile = keep_limits_meanwhile;
		run->log->meanwhile_ctx = &running;
	}
	if (rc == 0 && daemon_link_receive(run->link)) /* it came while we were not polling */
		ask_to_end(&running, AGENT_CANCELLED);
	while (rc == 0 && !running.ended && clock_boot_ms() < running.kill_ms)
		turn(&running);
	run->log->meanwhile = NULL;
	/* The agent has ended, or its grace has: whatever of it is left dies now, also what it put into the background. */
	bool none_left =
		descendants_kill(clock_boot_ms() + KILL_TIMEOUT_MS, running.sandboxed.pid, &running.status, &running.ended);
	if (run->model_proxy != NULL) {
		model_proxy_stop(run->model_proxy);
		take_model_lines(&running);
	}
	read_the_rest(&running);
	close_fd(&running.pidfd);
	close_fd(&running.fds[0]);
	close_fd(&running.fds[1]);
	agent_lines_release(&running.lines);
	buffer_release(&running.shown);
	secrets_stream_release(&running.masked[0]);
	secrets_stream_release(&running.masked[1]);
	int status = 0;
	if (rc == 0 && none_left)
		rc = sandboxed_status(&running.sandboxed, running.status, &status, err);
	else if (rc == 0)
		rc = error_set(err, ERR_INTERNAL, "the agent's processes cannot be killed");
	char why[WHY_BYTES];
	if (rc == 0 && watch_explains_end(&running.watch, why, sizeof(why)))
		agent_report_fail(run->report, NULL, false, "%s", why);
	sandboxed_release(&running.sandboxed);
	if (rc < 0)
		return -1;
	run->agent->finish(run->report, status);
	if (run->agent->model_api != NULL)
		agent_model_count(run->model_proxy, run->report);
	if (run->report->text != NULL)
		output_tail_add(run->output, run->report->text, strlen(run->report->text));
	*ret_end = running.end;
	return 0;
}
