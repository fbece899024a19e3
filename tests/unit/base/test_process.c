#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/process.h"

static struct buffer out, err_out;
static struct error err;
static int status;

static int setup(void **state)
{
	(void)state;
	buffer_init(&out, 1 << 20);
	buffer_init(&err_out, 1 << 20);
	err = (struct error)ERROR_INIT;
	status = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_release(&out);
	buffer_release(&err_out);
	return 0;
}

static int64_t soon(void)
{
	return clock_boot_ms() + 50000;
}

static const char *const environment[] = {"PATH=/usr/bin:/bin", "A=1", NULL};

/* Runs a shell script; the shell is the tests' only. */
static int run_script(const char *script, const void *input, size_t input_len, int64_t deadline_ms)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct process_options options = {.argv = argv, .envp = environment};
	return process_run(&options, input, input_len, deadline_ms, &out, &err_out, &status, &err);
}

static struct process_options spawn_options(const char *const *argv)
{
	return (struct process_options){
		.argv = argv, .envp = environment, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
}

TEST(run_captures_both_outputs_and_the_status)
{
	assert_int_equal(run_script("echo out; echo err >&2; exit 3", NULL, 0, soon()), 0);
	assert_string_equal(out.data, "out\n");
	assert_string_equal(err_out.data, "err\n");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

TEST(run_gives_the_input_and_its_end)
{
	static char big[300000];
	memset(big, 'x', sizeof(big));
	assert_int_equal(run_script("cat | wc -c; cat", big, sizeof(big), soon()), 0);
	assert_string_equal(out.data, "300000\n");
}

TEST(run_without_input_reads_nothing)
{
	assert_int_equal(run_script("cat; echo end", NULL, 0, soon()), 0);
	assert_string_equal(out.data, "end\n");
}

TEST(run_cuts_an_output_at_the_buffers_maximum_and_goes_on)
{
	buffer_release(&out);
	buffer_init(&out, 5);
	assert_int_equal(run_script("head -c 1000000 /dev/zero | tr '\\0' x; echo done >&2", NULL, 0, soon()), 0);
	assert_string_equal(out.data, "xxxxx");
	assert_string_equal(err_out.data, "done\n");
}

TEST(run_kills_the_group_at_the_deadline)
{
	/* The first deadline that lets the shell come so far. */
	for (int ms = 300; out.len == 0 && ms < 40000; ms *= 4) {
		int64_t before = clock_boot_ms();
		assert_int_equal(run_script("sleep 1000 & echo $!; sleep 1000", NULL, 0, before + ms), -1);
		assert_int_equal(err.kind, ERR_TIMEOUT);
		assert_true(clock_boot_ms() - before < ms + 40000);
	}
	pid_t grandchild = (pid_t)strtol(out.data, NULL, 10);
	assert_true(grandchild > 1);
	/* It is dead, or a zombie until init has reaped it. */
	char path[64], process_state[64] = "";
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)grandchild);
	for (int64_t deadline = soon(); clock_boot_ms() < deadline;) {
		FILE *file = fopen(path, "re");
		if (file == NULL || fscanf(file, "%*d %*s %60s", process_state) != 1)
			process_state[0] = 'X';
		if (file != NULL)
			(void)fclose(file);
		if (process_state[0] == 'X' || process_state[0] == 'Z')
			break;
	}
	assert_non_null(strchr("XZ", process_state[0]));
}

TEST(run_ends_at_the_deadline_though_output_never_stops)
{
	assert_int_equal(run_script("yes", NULL, 0, clock_boot_ms() + 200), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
}

TEST(run_ends_with_the_leader_though_a_descendant_holds_the_pipe)
{
	int64_t before = clock_boot_ms();
	assert_int_equal(run_script("sleep 1000 & echo out", NULL, 0, before + 50000), 0);
	assert_string_equal(out.data, "out\n");
	assert_true(clock_boot_ms() - before < 40000);
}

TEST(the_environment_is_built_from_nothing)
{
	setenv("KILN_LEAK", "secret", 1);
	assert_int_equal(run_script("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort", NULL, 0, soon()), 0);
	assert_string_equal(out.data, "A=1\nPATH=/usr/bin:/bin\n");
}

TEST(no_environment_is_an_empty_one)
{
	const char *const argv[] = {"env", NULL};
	struct process_options options = {.argv = argv};
	assert_int_equal(process_run(&options, NULL, 0, soon(), &out, &err_out, &status, &err), 0);
	assert_string_equal(out.data, "");
	assert_int_equal(status, 0);
}

TEST(the_working_directory_is_set)
{
	const char *const argv[] = {"pwd", NULL};
	struct process_options options = {.argv = argv, .envp = environment, .cwd = "/usr"};
	assert_int_equal(process_run(&options, NULL, 0, soon(), &out, &err_out, &status, &err), 0);
	assert_string_equal(out.data, "/usr\n");
}

static void assert_spawn_fails(struct process_options options, enum error_kind kind, const char *text)
{
	pid_t pid = -7;
	assert_int_equal(process_spawn(&options, &pid, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.message, text));
	assert_int_equal(pid, -7);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to reap */
}

TEST(a_missing_program_is_not_found)
{
	assert_spawn_fails(spawn_options((const char *const[]){"/no/such/program", NULL}), ERR_NOT_FOUND,
					   "/no/such/program");
	assert_spawn_fails(spawn_options((const char *const[]){"no-such-program", NULL}), ERR_NOT_FOUND, "no-such-program");
}

TEST(a_file_that_is_not_executable_is_denied)
{
	assert_spawn_fails(spawn_options((const char *const[]){"/etc/passwd", NULL}), ERR_DENIED, "Permission denied");
}

TEST(a_missing_working_directory_is_named)
{
	struct process_options options = spawn_options((const char *const[]){"true", NULL});
	options.cwd = "/no/such/folder";
	assert_spawn_fails(options, ERR_NOT_FOUND, "/no/such/folder");
}

TEST(a_relative_path_is_refused)
{
	assert_spawn_fails(spawn_options((const char *const[]){"./x", NULL}), ERR_INVALID, "./x");
	assert_spawn_fails(spawn_options((const char *const[]){"", NULL}), ERR_INVALID, "neither");
}

TEST(relative_entries_of_path_are_not_searched)
{
	static const char *const relative[] = {"PATH=.:bin:", NULL};
	struct process_options options = spawn_options((const char *const[]){"true", NULL});
	options.envp = relative;
	options.cwd = "/usr/bin";
	assert_spawn_fails(options, ERR_NOT_FOUND, "true");
}

TEST(only_stdio_and_kept_descriptors_survive)
{
	int kept = open("/dev/null", O_RDONLY | O_CLOEXEC), leaked = open("/dev/null", O_RDONLY);
	assert_true(kept > 2 && leaked > 2 && leaked < 60);
	const char *const argv[] = {
		"/bin/sh", "-c", "fd=0; while [ $fd -lt 60 ]; do [ -e /proc/self/fd/$fd ] && echo $fd; fd=$((fd + 1)); done",
		NULL};
	struct process_options options = {.argv = argv, .keep_fds = &kept, .keep_fds_len = 1};
	assert_int_equal(process_run(&options, NULL, 0, soon(), &out, &err_out, &status, &err), 0);
	char expected[64];
	(void)snprintf(expected, sizeof(expected), "0\n1\n2\n%d\n", kept);
	assert_string_equal(out.data, expected);
	(void)close(kept);
	(void)close(leaked);
}

TEST(a_kept_descriptor_that_is_not_open_is_an_error)
{
	int closed = 999;
	struct process_options options = spawn_options((const char *const[]){"true", NULL});
	options.keep_fds = &closed;
	options.keep_fds_len = 1;
	assert_spawn_fails(options, ERR_INTERNAL, "keep_fds");
}

static void run_with_swapped_stdio(void *arg)
{
	(void)arg;
	/* 1 becomes the child's 2, 2 becomes its 1; 0 is closed in the parent. */
	const char *const argv[] = {"/bin/sh", "-c", "echo to-out; echo to-err >&2", NULL};
	struct process_options options = {.argv = argv, .stdin_fd = -1, .stdout_fd = 2, .stderr_fd = 1};
	int first = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	(void)dup2(first, 2);
	(void)close(0);
	pid_t pid;
	struct error e = ERROR_INIT;
	int ended;
	if (process_spawn(&options, &pid, &e) < 0 || process_wait(pid, soon(), &ended, &e) < 0)
		_exit(98);
	char text[32] = "";
	if (pread(2, text, sizeof(text) - 1, 0) != 7 || strcmp(text, "to-out\n") != 0)
		_exit(97);
}

TEST(standard_descriptors_may_be_given_in_any_order)
{
	struct buffer output;
	assert_int_equal(unit_run_in_child(run_with_swapped_stdio, NULL, &output), 0);
	assert_string_equal(output.data, "to-err\n");
	buffer_release(&output);
}

TEST(the_child_leads_its_own_group_or_session)
{
	for (int session = 0; session < 2; session++) {
		struct process_options options = spawn_options((const char *const[]){"sleep", "1000", NULL});
		options.new_session = session == 1;
		pid_t pid;
		assert_int_equal(process_spawn(&options, &pid, &err), 0);
		assert_int_equal(getpgid(pid), pid);
		assert_int_equal(getsid(pid) == pid, session == 1);
		process_kill_group(pid, 0);
	}
}

TEST(wait_leaves_a_running_process_alone_at_the_deadline)
{
	struct process_options options = spawn_options((const char *const[]){"sleep", "1000", NULL});
	pid_t pid;
	assert_int_equal(process_spawn(&options, &pid, &err), 0);
	assert_int_equal(process_wait(pid, clock_boot_ms() + 20, &status, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(process_wait(pid, soon(), &status, &err), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(waiting_for_what_is_no_child_is_an_error)
{
	assert_int_equal(process_wait(0x3ffffff, soon(), &status, &err), -1);
	assert_int_equal(err.sys_errno, ESRCH);
}

TEST(kill_group_lets_the_leader_end_within_the_grace_and_reaps_it)
{
	const char *const argv[] = {"/bin/sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", NULL};
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct process_options options = spawn_options(argv);
	options.stdout_fd = ends[1];
	pid_t pid;
	char ready[6];
	assert_int_equal(process_spawn(&options, &pid, &err), 0);
	assert_int_equal(read(ends[0], ready, sizeof(ready)), 6);
	int64_t before = clock_boot_ms();
	process_kill_group(pid, 50000);
	assert_true(clock_boot_ms() - before < 40000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

TEST(kill_group_kills_who_ignores_sigterm)
{
	const char *const argv[] = {"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done", NULL};
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct process_options options = spawn_options(argv);
	options.stdout_fd = ends[1];
	pid_t pid;
	char ready[6];
	assert_int_equal(process_spawn(&options, &pid, &err), 0);
	assert_int_equal(read(ends[0], ready, sizeof(ready)), 6);
	process_kill_group(pid, 50);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

TEST(kill_group_of_a_group_that_is_gone_is_fine)
{
	process_kill_group(0x3ffffff, 1000);
}

static void parent_that_dies(void *arg)
{
	(void)arg;
	const char *const argv[] = {"/bin/sh", "-c", "echo ready; exec sleep 1000", NULL};
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		_exit(98);
	struct process_options options = {.argv = argv,
									  .envp = environment,
									  .stdin_fd = -1,
									  .stdout_fd = ends[1],
									  .stderr_fd = 2,
									  .die_with_parent = true};
	pid_t pid;
	char ready[6];
	struct error e = ERROR_INIT;
	if (process_spawn(&options, &pid, &e) < 0 || read(ends[0], ready, sizeof(ready)) != 6)
		_exit(98);
	/* The child holds our standard error, the test's pipe: when it dies with us, the test sees the end. */
}

TEST(a_child_dies_with_its_parent_when_asked)
{
	struct buffer output;
	int64_t before = clock_boot_ms();
	assert_int_equal(unit_run_in_child(parent_that_dies, NULL, &output), 0);
	assert_true(clock_boot_ms() - before < 40000);
	buffer_release(&output);
}

TEST(limits_are_set_in_the_child)
{
	const char *const argv[] = {"/bin/sh", "-c", "ulimit -n; ulimit -f; ulimit -u 2>/dev/null || ulimit -p", NULL};
	struct process_options options = {
		.argv = argv, .limit_nofile = 77, .limit_fsize_bytes = 512000, .limit_nproc = 4321};
	assert_int_equal(process_run(&options, NULL, 0, soon(), &out, &err_out, &status, &err), 0);
	assert_string_equal(out.data, "77\n1000\n4321\n");
}

TEST(a_limit_that_cannot_be_set_is_an_error)
{
	struct process_options options = spawn_options((const char *const[]){"true", NULL});
	options.limit_nofile = UINT64_MAX - 1; /* more than the kernel's own maximum */
	assert_spawn_fails(options, ERR_DENIED, "setrlimit");
}

/* With ever fewer free descriptors: each step that needs one fails in its turn. */
TEST(running_out_of_descriptors_is_a_limit_and_leaks_none)
{
	struct rlimit before, few;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(first);
	int failures = 0;
	for (int room = 0; room < 12; room++) {
		few = (struct rlimit){(rlim_t)first + (rlim_t)room, before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		int result = run_script("true", "x", 1, soon());
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (result < 0) {
			assert_int_equal(err.kind, ERR_LIMIT);
			failures++;
		}
	}
	assert_in_range(failures, 8, 11);
	int last = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(last);
	assert_int_equal(first, last);
}

TEST(a_blocked_signal_is_not_inherited)
{
	sigset_t term, before;
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &term, &before), 0);
	assert_int_equal(run_script("kill -TERM $$; exit 5", NULL, 0, soon()), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(no_descriptor_leaks_in_the_parent)
{
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(first);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(run_script("true", "x", 1, soon()), 0);
		pid_t pid;
		struct process_options options = spawn_options((const char *const[]){"/no/such", NULL});
		assert_int_equal(process_spawn(&options, &pid, &err), -1);
	}
	int last = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(last);
	assert_int_equal(first, last);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(run_captures_both_outputs_and_the_status),
		UNIT(run_gives_the_input_and_its_end),
		UNIT(run_without_input_reads_nothing),
		UNIT(run_cuts_an_output_at_the_buffers_maximum_and_goes_on),
		UNIT(run_kills_the_group_at_the_deadline),
		UNIT(run_ends_at_the_deadline_though_output_never_stops),
		UNIT(run_ends_with_the_leader_though_a_descendant_holds_the_pipe),
		UNIT(the_environment_is_built_from_nothing),
		UNIT(no_environment_is_an_empty_one),
		UNIT(the_working_directory_is_set),
		UNIT(a_missing_program_is_not_found),
		UNIT(a_file_that_is_not_executable_is_denied),
		UNIT(a_missing_working_directory_is_named),
		UNIT(a_relative_path_is_refused),
		UNIT(relative_entries_of_path_are_not_searched),
		UNIT(only_stdio_and_kept_descriptors_survive),
		UNIT(a_kept_descriptor_that_is_not_open_is_an_error),
		UNIT(standard_descriptors_may_be_given_in_any_order),
		UNIT(the_child_leads_its_own_group_or_session),
		UNIT(wait_leaves_a_running_process_alone_at_the_deadline),
		UNIT(waiting_for_what_is_no_child_is_an_error),
		UNIT(kill_group_lets_the_leader_end_within_the_grace_and_reaps_it),
		UNIT(kill_group_kills_who_ignores_sigterm),
		UNIT(kill_group_of_a_group_that_is_gone_is_fine),
		UNIT(a_child_dies_with_its_parent_when_asked),
		UNIT(limits_are_set_in_the_child),
		UNIT(a_limit_that_cannot_be_set_is_an_error),
		UNIT(running_out_of_descriptors_is_a_limit_and_leaks_none),
		UNIT(a_blocked_signal_is_not_inherited),
		UNIT(no_descriptor_leaks_in_the_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
