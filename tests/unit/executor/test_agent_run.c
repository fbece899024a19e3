#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "executor/attempt/agent_run.h"
#include "tests/unit/executor/folder.h"

#define PATIENCE_MS 20000
#define LOOK_MS 10
#define MAX_FRAMES ((size_t)4096)
#define READ_BYTES 65536

/* The other end of the link: it reads all, and acknowledges nothing before its time. */
struct other_end {
	int fd;
	int64_t not_before_ms;
	atomic_bool over;    /* nobody waits for it any more */
	bool agent_was_gone; /* before the first acknowledgement */
	uint64_t ids[MAX_FRAMES];
	size_t ids_len;
};

/* It has been there, and was reaped. */
static bool agent_is_gone(void)
{
	char path[256], text[32] = "";
	(void)snprintf(path, sizeof(path), "%s/pid", folder);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return false;
	size_t len = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file); /* read only */
	pid_t pid = len > 0 && text[len - 1] == '\n' ? (pid_t)strtol(text, NULL, 10) : 0;
	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

static void take_frames(struct other_end *end, struct buffer *in)
{
	struct frame frame;
	char *room = buffer_reserve(in, READ_BYTES);
	CHECK(room != NULL);
	ssize_t got = recv(end->fd, room, READ_BYTES, MSG_DONTWAIT);
	buffer_commit(in, got > 0 ? (size_t)got : 0);
	while (frame_peek(in, &frame) > 0) {
		CHECK(end->ids_len < MAX_FRAMES);
		end->ids[end->ids_len++] = frame.id;
		frame_consume(in, &frame);
	}
}

static void acknowledge_all(struct other_end *end)
{
	CLEANUP(buffer_release_p) struct buffer out;
	buffer_init(&out, MAX_FRAMES * FRAME_HEADER_BYTES);
	for (size_t i = 0; i < end->ids_len; i++)
		CHECK(frame_append(&out, FRAME_ACK, end->ids[i], NULL, 0) == 0);
	CHECK(out.len == 0 || send(end->fd, out.data, out.len, MSG_NOSIGNAL) == (ssize_t)out.len);
	end->ids_len = 0;
}

static void *serve(void *arg)
{
	struct other_end *end = arg;
	CLEANUP(buffer_release_p) struct buffer in;
	buffer_init(&in, FRAME_MAX_BYTES);
	bool withheld = true;
	int64_t patience_ms = clock_boot_ms() + PATIENCE_MS;
	while (!atomic_load(&end->over)) {
		struct pollfd ready = {.fd = end->fd, .events = POLLIN};
		if (poll(&ready, 1, LOOK_MS) > 0)
			take_frames(end, &in);
		if (withheld && clock_boot_ms() >= end->not_before_ms) {
			end->agent_was_gone = agent_is_gone();
			withheld = !end->agent_was_gone && clock_boot_ms() < patience_ms;
		}
		if (!withheld)
			acknowledge_all(end);
	}
	return NULL;
}

/* What agent_run returns for this program in the folder `files`. */
static int run_program(const char *files, const char *const *argv, int64_t timeout_ms, struct other_end *other,
					   enum agent_end *ret_end, struct error *err)
{
	struct executor_config config = {.agent_output_limit_bytes = INT64_MAX / 2, .kill_grace_ms = 100};
	const struct sandbox_spec spec = {.config = &config, .files = files, .home = files, .tmp = files};
	const struct fencing_token token = {.attempt = 1};
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	struct daemon_link link;
	struct attempt_log log;
	struct agent_report report;
	struct output_tail output = {.len = 0};
	struct agent_program program = {.argv_len = 0};
	daemon_link_init(&link, ends[0]);
	attempt_log_init(&log, &link, &token);
	agent_report_init(&report);
	for (size_t i = 0; argv[i] != NULL; i++)
		agent_program_arg_copy(&program, argv[i]);
	const struct agent_run run = {.config = &config,
								  .agent = &code_agent_command,
								  .program = &program,
								  .prompt = "",
								  .sandbox = &sandbox_none,
								  .sandbox_spec = &spec,
								  .lock_fd = ends[0], /* any that stays open */
								  .timeout_ms = timeout_ms,
								  .log = &log,
								  .link = &link,
								  .output = &output,
								  .report = &report};
	pthread_t thread;
	other->fd = ends[1];
	assert_int_equal(pthread_create(&thread, NULL, serve, other), 0);
	int rc = agent_run(&run, ret_end, err);
	atomic_store(&other->over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	agent_program_release(&program);
	agent_report_release(&report);
	output_tail_release(&output);
	attempt_log_release(&log);
	daemon_link_release(&link);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return rc;
}

/* A shell's script as an agent whose log is not acknowledged before it is gone, nor within withheld_ms. */
static enum agent_end run_unheard(const char *script, int64_t timeout_ms, int64_t withheld_ms, bool *ret_was_gone)
{
	struct other_end other = {.not_before_ms = clock_boot_ms() + withheld_ms};
	enum agent_end end = AGENT_EXITED;
	struct error err = ERROR_INIT;
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	assert_int_equal(run_program(folder, argv, timeout_ms, &other, &end, &err), 0);
	*ret_was_gone = other.agent_was_gone;
	return end;
}

static enum error_kind not_run(const char *files, const char *program)
{
	struct other_end other = {.not_before_ms = 0};
	enum agent_end end = AGENT_EXITED;
	struct error err = ERROR_INIT;
	assert_int_equal(run_program(files, (const char *const[]){program, NULL}, PATIENCE_MS, &other, &end, &err), -1);
	return err.kind;
}

TEST(an_agent_is_ended_at_its_time_while_its_lines_wait_for_room_in_the_log)
{
	/* A busy machine may be too slow for it to begin in time. */
	for (int64_t timeout_ms = 1000; timeout_ms <= 16000; timeout_ms *= 4) {
		bool was_gone = false;
		enum agent_end end = run_unheard("echo $$ >pid; exec yes ''", timeout_ms, 0, &was_gone);
		assert_int_equal(end, AGENT_TIMED_OUT);
		if (was_gone)
			return;
	}
	fail();
}

TEST(an_agent_that_ended_by_itself_has_not_run_on_because_its_lines_waited)
{
	/* A busy machine may be too slow for it to end in time. */
	for (int64_t timeout_ms = 1000; timeout_ms <= 16000; timeout_ms *= 4) {
		bool was_gone = false;
		enum agent_end end = run_unheard("echo $$ >pid; yes '' | head -c 65536 >lines; cat lines", timeout_ms,
										 timeout_ms + 1, &was_gone);
		if (was_gone && end == AGENT_EXITED)
			return;
	}
	fail();
}

TEST(only_a_program_that_cannot_be_run_is_the_agents_fault)
{
	folder_write("not-executable", "");
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/not-executable", folder);
	assert_int_equal(not_run(folder, "/no/such/program"), ERR_INVALID);
	assert_int_equal(not_run(folder, path), ERR_INVALID);
	assert_int_equal(chmod(path, 0700), 0); /* of no format */
	assert_int_equal(not_run(folder, path), ERR_INVALID);
	assert_int_not_equal(not_run("/no/such/workspace", "/bin/true"), ERR_INVALID);
}

static int begin(void **state)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ? folder_make(state) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_agent_is_ended_at_its_time_while_its_lines_wait_for_room_in_the_log, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(an_agent_that_ended_by_itself_has_not_run_on_because_its_lines_waited, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(only_a_program_that_cannot_be_run_is_the_agents_fault, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
