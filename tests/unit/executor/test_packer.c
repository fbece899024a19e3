#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/daemon/packer.h"
#include "executor/pack_mirrors.h"

#define BEHAVIOUR "KILN_TEST_PACKER" /* of this program as `pack-mirrors`; the daemon passes such names on */
#define MINUTE_MS 60000
#define SOON_MS INT64_C(10000)

static int packer_main(void)
{
	char byte;
	const char *behaviour = getenv(BEHAVIOUR);
	if (str_equal(behaviour, "fails"))
		return 3;
	if (str_equal(behaviour, "more"))
		return PACK_MIRRORS_MORE;
	/* As git is below it. */
	pid_t git = prctl(PR_SET_PDEATHSIG, 0) < 0 || str_equal(behaviour, "waits") ? getpid() : fork();
	if (git != 0 && write(STDIN_FILENO, &git, sizeof(git)) != (ssize_t)sizeof(git))
		return 1;
	if (str_equal(behaviour, "dies"))
		(void)raise(git == 0 ? SIGSTOP : SIGKILL);
	while (!str_equal(behaviour, "waits"))
		(void)pause();
	return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

static struct packer packer;

static int begin(void **state UNUSED)
{
	packer_init(&packer);
	return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -1 : setenv(BEHAVIOUR, "waits", 1);
}

/* Once it is there. Returns the process that stands for git, or itself. */
static pid_t start(const char *behaviour)
{
	pid_t git = 0;
	assert_int_equal(setenv(BEHAVIOUR, behaviour, 1), 0);
	packer_tick(&packer, 0);
	assert_true(packer.pid > 0);
	assert_int_equal(read(packer.fd, &git, sizeof(git)), sizeof(git));
	assert_true(git > 0);
	return git;
}

/* Not even a zombie. */
static void assert_gone(pid_t pid)
{
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* As the daemon's loop does. */
static int reap(void)
{
	int status = -1;
	assert_true(packer.pid > 0);
	assert_int_equal(waitpid(packer.pid, &status, 0), packer.pid);
	packer_ended(&packer, status);
	return status;
}

TEST(it_is_there_at_once_and_then_once_a_minute_when_it_is_wanted)
{
	assert_int_equal(setenv(BEHAVIOUR, "fails", 1), 0);
	assert_true(packer_due_ms(&packer) <= 1000);
	packer_tick(&packer, 1000);
	assert_int_equal(packer_due_ms(&packer), INT64_MAX);
	packer_want(&packer);
	assert_int_equal(packer_due_ms(&packer), INT64_MAX); /* there is one */
	assert_int_equal(WEXITSTATUS(reap()), 3);
	assert_int_equal(packer.fd, -1);
	assert_int_equal(packer_due_ms(&packer), 1000 + MINUTE_MS);
	packer_tick(&packer, 1000 + MINUTE_MS - 1);
	assert_int_equal(packer.pid, 0);
	packer_tick(&packer, 1000 + MINUTE_MS);
	(void)reap();
	assert_int_equal(packer_due_ms(&packer), INT64_MAX); /* no attempt has ended since */
}

TEST(one_that_has_not_looked_at_all_is_started_again)
{
	assert_int_equal(setenv(BEHAVIOUR, "more", 1), 0);
	packer_tick(&packer, 1000);
	(void)reap();
	assert_int_equal(packer_due_ms(&packer), 1000 + MINUTE_MS);
}

TEST(it_ends_when_its_socket_is_closed)
{
	(void)start("waits");
	packer_close(&packer);
	assert_int_equal(reap(), 0);
	assert_false(packer.died);
}

TEST(it_is_waited_for_as_long_as_that_takes)
{
	pid_t pid = start("waits");
	int64_t begin_ms = clock_boot_ms();
	packer_stop(&packer, begin_ms + 6 * SOON_MS);
	assert_true(clock_boot_ms() < begin_ms + 5 * SOON_MS);
	assert_gone(pid);
}

TEST(one_that_does_not_end_is_killed_with_what_it_has_started)
{
	pid_t git = start("hangs"), pid = packer.pid;
	packer_stop(&packer, clock_boot_ms() + 50);
	assert_gone(pid);
	assert_gone(git);
}

TEST(what_one_that_was_killed_has_left_is_killed_at_the_end)
{
	pid_t git = start("dies");
	packer_stop(&packer, clock_boot_ms() + SOON_MS);
	assert_gone(git);
}

TEST(of_one_that_was_killed_the_daemon_is_told)
{
	pid_t git = start("dies");
	assert_true(WIFSIGNALED(reap()));
	assert_true(packer.died);
	packer_stop(&packer, clock_boot_ms());
	assert_gone(git);
}

TEST(without_one_there_is_nothing_to_stop)
{
	packer_stop(&packer, clock_boot_ms() + SOON_MS);
	assert_int_equal(packer.pid, 0);
}

/* As many descriptors as `more` than are open. */
static struct rlimit allow(rlim_t more)
{
	struct rlimit before;
	int next = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3); /* the lowest that is free */
	assert_true(next >= 0);
	assert_int_equal(close(next), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	const struct rlimit lower = {.rlim_cur = (rlim_t)next + more, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
	return before;
}

TEST(what_cannot_be_started_is_tried_again_in_a_minute)
{
	for (rlim_t more = 1; more <= 2; more++) { /* no socket; no pipe to the new process */
		packer_init(&packer);
		struct rlimit before = allow(more);
		packer_tick(&packer, 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(packer.pid, 0);
		assert_int_equal(packer.fd, -1);
		assert_int_equal(packer_due_ms(&packer), MINUTE_MS);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && str_equal(argv[1], "pack-mirrors"))
		return packer_main();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_is_there_at_once_and_then_once_a_minute_when_it_is_wanted, begin),
		cmocka_unit_test_setup(one_that_has_not_looked_at_all_is_started_again, begin),
		cmocka_unit_test_setup(it_ends_when_its_socket_is_closed, begin),
		cmocka_unit_test_setup(it_is_waited_for_as_long_as_that_takes, begin),
		cmocka_unit_test_setup(one_that_does_not_end_is_killed_with_what_it_has_started, begin),
		cmocka_unit_test_setup(what_one_that_was_killed_has_left_is_killed_at_the_end, begin),
		cmocka_unit_test_setup(of_one_that_was_killed_the_daemon_is_told, begin),
		cmocka_unit_test_setup(without_one_there_is_nothing_to_stop, begin),
		cmocka_unit_test_setup(what_cannot_be_started_is_tried_again_in_a_minute, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
