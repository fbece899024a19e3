#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "executor/git/workspace.h"

static void make_state(void)
{
	folder_mkdir("work");
	folder_mkdir("spares");
}

static void assert_there(const char *part, bool there)
{
	char *path = xasprintf("%s/%s", folder, part);
	assert_int_equal(access(path, F_OK), there ? 0 : -1);
	free(path);
}

static void make_whole(const char *lease_id)
{
	struct workspace workspace;
	struct error err = ERROR_INIT;
	if (workspace_make(folder, lease_id, "Kiln", "kiln@localhost", &workspace, &err) < 0)
		fail_msg("%s", err.message);
	workspace_release(&workspace);
	char *config = xasprintf("work/%s/files/.git/config", lease_id);
	assert_there(config, true);
	free(config);
}

static void assert_no_spare(const char *end)
{
	char *spare = xasprintf("spares/%d%s", (int)getpid(), end);
	assert_there(spare, false);
	free(spare);
}

TEST(what_was_made_ahead_is_used)
{
	make_state();
	workspace_make_ahead(folder, "Kiln", "kiln@localhost");
	make_whole("one");
	assert_no_spare("");
	make_whole("two"); /* without one */
}

TEST(what_an_earlier_process_of_the_lease_has_left_gives_way)
{
	make_state();
	folder_mkdir("trash");
	make_whole("one");
	folder_write("work/one/files/left", "");
	make_whole("one");
	assert_there("work/one/files/left", false);
}

TEST(what_could_not_be_made_ahead_as_a_whole_is_not_used)
{
	make_state();
	const struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0); /* folders can be made, files not: as on a full disk */
	workspace_make_ahead(folder, "Kiln", "kiln@localhost");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_no_spare("");
	assert_no_spare(".new");
	make_whole("one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_made_ahead_is_used, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_an_earlier_process_of_the_lease_has_left_gives_way, folder_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(what_could_not_be_made_ahead_as_a_whole_is_not_used, folder_make,
										folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
