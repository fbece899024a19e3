#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/config.h"
#include "executor/daemon/janitor.h"

#define SOON_MS INT64_C(30000)

/* The disk. */
static atomic_bool hangs;
static atomic_int waiting; /* for it */

int __real_unlinkat(int dir_fd, const char *path, int flags);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);

int __wrap_unlinkat(int dir_fd, const char *path, int flags)
{
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&hangs))
		(void)poll(NULL, 0, 1);
	atomic_fetch_sub(&waiting, 1);
	return __real_unlinkat(dir_fd, path, flags);
}

static struct executor_config config;

static int begin(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	folder_mkdir("trash");
	folder_mkdir("mirrors");
	config.state_dir = folder;
	return 0;
}

static void wait_until_it_hangs(void)
{
	int64_t deadline_ms = clock_boot_ms() + SOON_MS;
	while (atomic_load(&waiting) == 0) {
		assert_true(clock_boot_ms() < deadline_ms);
		(void)poll(NULL, 0, 1);
	}
}

TEST(its_end_is_not_waited_for_when_the_disk_hangs)
{
	folder_write("trash/x", "");
	atomic_store(&hangs, true);
	struct janitor *janitor = janitor_start(&config, NULL);
	wait_until_it_hangs();
	assert_false(janitor_stop(janitor, clock_boot_ms() + 10));
	atomic_store(&hangs, false);
	assert_true(janitor_stop(janitor, clock_boot_ms() + SOON_MS));
	CLEANUP(free_p) char *path = xasprintf("%s/trash/x", folder);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_end_is_not_waited_for_when_the_disk_hangs, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
