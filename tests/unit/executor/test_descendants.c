#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "common/base/clock.h"
#include "executor/descendants.h"

static int subreaper(void **state UNUSED)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static pid_t shell(const char *script)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
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
	int64_t deadline_ms = clock_boot_ms() + 60000;
	while (!descendants_reap(pid, &status, &ended) && clock_boot_ms() < deadline_ms) {
	}
	assert_true(ended);
	assert_int_equal(WEXITSTATUS(status), 7);
}

TEST(whatever_a_child_hides_is_killed)
{
	pid_t pid = shell(
		"trap '' TERM; (setsid sleep 1000 &); (setsid setsid sleep 1000 & sleep 1000 &) & sleep 1000 & sleep 1000");
	int status = 0;
	bool ended = false;
	assert_true(killed_all(pid, &status, &ended));
	assert_true(ended);
	assert_true(descendants_reap(0, &status, &ended));
}

TEST(what_forks_all_the_time_loses)
{
	pid_t pid = shell("f() { sleep 0.01 & f2 & }; f2() { while :; do sleep 0.005 & done; }; f; f2");
	int status = 0;
	bool ended = false;
	int64_t until_ms = clock_boot_ms() + 100;
	while (clock_boot_ms() < until_ms) {
	}
	assert_true(killed_all(pid, &status, &ended));
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
