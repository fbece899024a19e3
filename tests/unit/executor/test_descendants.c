#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "common/base/clock.h"
#include "executor/descendants.h"

static int subreaper(void **state UNUSED)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static pid_t shell_that_writes_to(int fd, const char *script)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(fd, STDOUT_FILENO) >= 0)
			(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static pid_t shell(const char *script)
{
	return shell_that_writes_to(STDOUT_FILENO, script);
}

/* Returns once its processes have written so many bytes. Close the descriptor after them: without a reader they would
 * end by themselves. */
static pid_t shell_that_has_written(size_t count, const char *script, int *ret_fd)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = shell_that_writes_to(ends[1], script);
	(void)close(ends[1]);
	int64_t deadline_ms = clock_boot_ms() + 60000;
	for (size_t seen = 0; seen < count;) {
		struct pollfd readable = {.fd = ends[0], .events = POLLIN};
		assert_int_equal(poll(&readable, 1, (int)(deadline_ms - clock_boot_ms())), 1);
		char bytes[64];
		ssize_t got = read(ends[0], bytes, sizeof(bytes));
		assert_true(got > 0);
		seen += (size_t)got;
	}
	*ret_fd = ends[0];
	return pid;
}

static bool killed_all(pid_t watched, int *ret_status, bool *ret_ended)
{
	return descendants_kill(clock_boot_ms() + 60000, watched, ret_status, ret_ended);
}

TEST(without_children_there_is_nothing_left)
{
	int status;
	bool ended = false;
	assert_true(descendants_reap(0, &status, &ended));
	assert_true(killed_all(0, &status, &ended));
	assert_false(ended);
}

TEST(the_watched_childs_status_is_kept)
{
	pid_t pid = shell("exit 7");
	int status = 0;
	bool ended = false;
	siginfo_t has_ended;
	assert_int_equal(waitid(P_PID, (id_t)pid, &has_ended, WEXITED | WNOWAIT), 0);
	assert_true(descendants_reap(pid, &status, &ended));
	assert_true(ended);
	assert_int_equal(WEXITSTATUS(status), 7);
}

#define STAYS "sh -c 'printf x; exec sleep 1000'"

TEST(whatever_a_child_hides_is_killed)
{
	int fd;
	pid_t pid = shell_that_has_written(
		5, "trap '' TERM; (setsid " STAYS " &); (setsid setsid " STAYS " & " STAYS " &) & " STAYS " & " STAYS, &fd);
	int status = 0;
	bool ended = false;
	assert_true(killed_all(pid, &status, &ended));
	assert_true(ended);
	assert_true(descendants_reap(0, &status, &ended));
	(void)close(fd);
}

TEST(what_forks_all_the_time_loses)
{
	int fd;
	pid_t pid = shell_that_has_written(
		20, "f() { sleep 0.01 & f2 & }; f2() { while :; do sleep 0.005 & printf x; done; }; f; f2", &fd);
	int status = 0;
	bool ended = false;
	assert_true(killed_all(pid, &status, &ended));
	assert_true(ended);
	assert_true(descendants_reap(0, &status, &ended));
	(void)close(fd);
}

TEST(kept_children_are_left_alone)
{
	pid_t kept = shell("sleep 1000 & wait");
	pid_t other = shell("sleep 1000 & wait");
	bool other_ended = false;
	while (descendants_kill_others(&kept, 1) > 0) { /* what has ended counts until it is reaped */
		for (pid_t pid = waitpid(-1, NULL, WNOHANG); pid > 0; pid = waitpid(-1, NULL, WNOHANG))
			other_ended = other_ended || pid == other; /* others of its are ours now */
	}
	assert_true(other_ended);
	assert_int_equal(kill(kept, 0), 0);
	assert_int_equal(waitpid(kept, NULL, WNOHANG), 0);
	int status;
	bool ended;
	assert_true(killed_all(0, &status, &ended));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_children_there_is_nothing_left), cmocka_unit_test(the_watched_childs_status_is_kept),
		cmocka_unit_test(whatever_a_child_hides_is_killed),       cmocka_unit_test(what_forks_all_the_time_loses),
		cmocka_unit_test(kept_children_are_left_alone),
	};
	return cmocka_run_group_tests(tests, subreaper, NULL);
}
