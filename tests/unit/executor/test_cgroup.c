#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <unistd.h>

#include "common/base/alloc.h"
#include "executor/sandbox/cgroup.h"

/* A folder that stands for /sys/fs/cgroup: files are there that the kernel would make. */
static void make_group(const char *name, const char *controllers)
{
	char path[128];
	if (name[0] != '\0')
		folder_mkdir(name);
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", name);
	folder_write(path, controllers);
	(void)snprintf(path, sizeof(path), "%s/cgroup.subtree_control", name);
	folder_write(path, "");
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", name);
	folder_write(path, "");
}

static void assert_says(const char *name, const char *text)
{
	char path[256], said[128] = "";
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	(void)!fgets(said, sizeof(said), file);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(said, text);
}

TEST(the_daemon_moves_below_its_group_and_hands_the_controllers_down)
{
	struct error err = ERROR_INIT;
	make_group("unit", "cpu memory pids\n");
	make_group("unit/kiln-executor", "");
	if (cgroup_set_up_at(folder, "1:name=systemd:/x\n0::/unit\n", &err) < 0)
		fail_msg("%s", err.message);
	assert_says("unit/kiln-executor/cgroup.procs", "0");
	assert_says("unit/cgroup.subtree_control", "+memory +pids");
	CLEANUP(free_p) char *base = cgroup_base_at(folder, "0::/unit/kiln-executor\n");
	assert_null(base); /* the kernel, not the file, would have said so: as written it has a plus */
	folder_write("unit/cgroup.subtree_control", "memory pids\n");
	CLEANUP(free_p) char *found = cgroup_base_at(folder, "0::/unit/kiln-executor\n");
	assert_non_null(found);
	assert_string_equal(found + strlen(folder), "/unit");
}

TEST(a_group_without_controllers_is_no_use)
{
	struct error err = ERROR_INIT;
	make_group("unit", "cpu\n");
	assert_int_equal(cgroup_set_up_at(folder, "0::/unit\n", &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	err = (struct error)ERROR_INIT;
	assert_int_equal(cgroup_set_up_at(folder, "4:memory:/x\n", &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
}

TEST(a_group_above_the_mount_is_not_taken)
{
	struct error err = ERROR_INIT;
	assert_int_equal(cgroup_set_up_at(folder, "0::/../other\n", &err), -1);
}

TEST(an_attempt_has_no_base_unless_the_daemon_has_set_it_up)
{
	make_group("unit", "memory pids\n");
	CLEANUP(free_p) char *outside = cgroup_base_at(folder, "0::/unit\n");
	CLEANUP(free_p) char *nowhere = cgroup_base_at(folder, "");
	assert_null(outside);
	assert_null(nowhere);
}

TEST(an_agents_group_gets_its_limits)
{
	struct error err = ERROR_INIT;
	char *path = NULL;
	int fd = -1;
	make_group("lease", "");
	folder_write("lease/memory.max", "");
	folder_write("lease/pids.max", "");
	folder_write("lease/memory.swap.max", "");
	folder_write("lease/memory.oom.group", "");
	const struct cgroup_limits limits = {.memory_bytes = 1234567, .processes = 89};
	if (cgroup_make(folder, "lease", &limits, &path, &fd, &err) < 0)
		fail_msg("%s", err.message);
	assert_says("lease/memory.max", "1234567");
	assert_says("lease/pids.max", "89");
	assert_says("lease/memory.swap.max", "0");
	assert_true(fd >= 0);
	assert_false(cgroup_was_out_of_memory(path));
	folder_write("lease/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 0\n");
	assert_false(cgroup_was_out_of_memory(path));
	folder_write("lease/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n");
	assert_true(cgroup_was_out_of_memory(path));
	(void)close(fd); /* a plain file here */
	free(path);
}

TEST(a_group_that_cannot_have_its_limits_is_not_used)
{
	struct error err = ERROR_INIT;
	char *path = NULL;
	int fd = -1;
	const struct cgroup_limits limits = {.memory_bytes = 1, .processes = 1};
	assert_int_equal(cgroup_make(folder, "lease", &limits, &path, &fd, &err), -1);
	char gone[128];
	(void)snprintf(gone, sizeof(gone), "%s/lease", folder);
	assert_int_equal(access(gone, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_daemon_moves_below_its_group_and_hands_the_controllers_down, folder_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(a_group_without_controllers_is_no_use, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_group_above_the_mount_is_not_taken, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(an_attempt_has_no_base_unless_the_daemon_has_set_it_up, folder_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(an_agents_group_gets_its_limits, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_group_that_cannot_have_its_limits_is_not_used, folder_make, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
