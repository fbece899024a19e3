#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <sys/prctl.h>

#include "common/base/clock.h"
#include "executor/git/command.h"

#define DEADLINE_MS 100

/* The command becomes a descendant of ours alone. */
static int begin(void **state)
{
	return folder_make(state) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -1 : 0;
}

/* So slow that there is always more to read. */
static void read_slowly(void *ctx UNUSED, const char *line UNUSED, size_t len UNUSED)
{
	for (int i = 0; i < 20; i++)
		(void)clock_boot_ms(); /* for the time it takes */
}

TEST(a_command_that_never_stops_printing_has_the_deadline_of_all)
{
	const struct git_remote here = {.scratch_dir = folder, .lock_fd = -1, .interrupt_fd = -1};
	static const char *const args[] = {"-c", "alias.flood=!timeout 5 yes", "flood", NULL};
	struct git_command command;
	struct error err = ERROR_INIT;
	int status = 0;
	assert_int_equal(
		git_command_start(&command, &here, folder, args, clock_boot_ms() + DEADLINE_MS, read_slowly, NULL, &err), 0);
	assert_int_equal(git_command_wait(&command, &status, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	git_command_release(&command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_command_that_never_stops_printing_has_the_deadline_of_all, begin,
										folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
