#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>

#include "executor/daemon/orphans.h"

#define LEASE "44444444-4444-4444-8444-444444444444"

static int begin(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	folder_mkdir("locks");
	return 0;
}

/* A process that holds the lock by an inherited descriptor, as an agent's does. */
static pid_t holder(void)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/locks/" LEASE, folder);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (;;)
			(void)pause();
	}
	(void)close(fd);
	return pid;
}

static bool lock_exists(void)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/locks/" LEASE, folder);
	return access(path, F_OK) == 0;
}

TEST(the_holder_of_a_lock_is_killed_and_then_the_lock_removed)
{
	pid_t pid = holder();
	assert_false(orphans_clear(folder));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(orphans_clear(folder));
	assert_false(lock_exists());
}

/* Between fork and execve a process has its parent's environment. */
static bool bears_mark(pid_t pid)
{
	char path[64], text[256];
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		(void)close(fd);
	return len > 0 && memmem(text, (size_t)len, LEASE, sizeof(LEASE) - 1) != NULL;
}

TEST(a_process_that_bears_the_mark_is_killed_without_a_descriptor)
{
	folder_write("locks/" LEASE, "");
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *const argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
		char *const envp[] = {(char[]){"KILN_LEASE_ID=" LEASE}, NULL};
		(void)execve("/bin/sleep", argv, envp);
		_exit(127);
	}
	int64_t deadline_ms = clock_boot_ms() + 60000;
	while (!bears_mark(pid) && clock_boot_ms() < deadline_ms)
		(void)poll(NULL, 0, 1);
	assert_false(orphans_clear(folder));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(orphans_clear(folder));
}

TEST(one_lease_is_cleared_without_the_others)
{
	folder_write("locks/" LEASE, "");
	folder_write("locks/55555555-5555-4555-8555-555555555555", "");
	assert_true(orphans_clear_lease(folder, LEASE));
	assert_true(lock_exists()); /* a second child of the same lease may come */
	orphans_remove_lock(folder, LEASE);
	assert_false(lock_exists());
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/locks/55555555-5555-4555-8555-555555555555", folder);
	assert_int_equal(access(path, F_OK), 0);
}

TEST(a_lease_that_never_had_a_lock_is_clear)
{
	assert_true(orphans_clear_lease(folder, LEASE));
	assert_true(orphans_clear(folder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_holder_of_a_lock_is_killed_and_then_the_lock_removed, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_process_that_bears_the_mark_is_killed_without_a_descriptor, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(one_lease_is_cleared_without_the_others, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_lease_that_never_had_a_lock_is_clear, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
