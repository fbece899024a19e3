#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/base/alloc.h"
#include "executor/sandbox/usage.h"

#define MIB ((size_t)1 << 20)

static void write_bytes(const char *name, size_t len)
{
	char path[256];
	CLEANUP(free_p) char *bytes = xmalloc(len);
	memset(bytes, 'x', len);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct disk_usage usage_of(const char *path)
{
	struct disk_usage usage = {.files = 0};
	usage_add_folder(path, &(struct usage_limits){.max_files = 1000}, &usage);
	return usage;
}

TEST(a_folder_holds_what_its_folders_hold)
{
	struct disk_usage before = usage_of(folder);
	folder_mkdir("a");
	folder_mkdir("a/b");
	write_bytes("a/b/f", MIB);
	struct disk_usage after = usage_of(folder);
	assert_int_equal(after.files - before.files, 3);
	assert_in_range(after.bytes - before.bytes, MIB, MIB + 65536);
}

TEST(a_file_with_two_names_is_one)
{
	char first[256], second[256];
	write_bytes("f", MIB);
	struct disk_usage before = usage_of(folder);
	(void)snprintf(first, sizeof(first), "%s/f", folder);
	(void)snprintf(second, sizeof(second), "%s/g", folder);
	assert_int_equal(link(first, second), 0);
	assert_int_equal(usage_of(folder).bytes, before.bytes);
}

TEST(links_are_not_followed_and_what_is_not_there_is_nothing)
{
	char path[256];
	struct disk_usage before = usage_of(folder);
	(void)snprintf(path, sizeof(path), "%s/l", folder);
	assert_int_equal(symlink("/usr", path), 0);
	assert_int_equal(usage_of(folder).files, before.files + 1);
	assert_int_equal(usage_of(path).files, 0);
	assert_int_equal(usage_of("/nonexistent").files, 0);
}

TEST(counting_ends_at_the_limit)
{
	char name[16];
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		folder_write(name, "");
	}
	struct disk_usage usage = {.files = 0};
	usage_add_folder(folder, &(struct usage_limits){.max_files = 10}, &usage);
	assert_int_equal(usage.files, 11);
}

/* `ctx`: how often it says no. */
static bool is_over(void *ctx)
{
	int *left = ctx;
	return (*left)-- <= 0;
}

TEST(counting_ends_when_it_is_stopped)
{
	char name[16];
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "d%d", i);
		folder_mkdir(name);
	}
	int left = 20;
	struct disk_usage usage = {.files = 0};
	usage_add_folder(folder, &(struct usage_limits){.max_files = 1000, .is_stopped = is_over, .ctx = &left}, &usage);
	assert_in_range(usage.files, 2, 20);
}

/* In the child: says so, and waits until it is killed. */
static void wait_for_end(int fd)
{
	(void)!write(fd, "x", 1);
	(void)pause();
}

/* The same in a child of its own that has the same memory until it calls exec, which it never does. */
static void lend_memory(int fd)
{
	long borrower = syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
	if (borrower == 0) {
		(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		(void)syscall(SYS_write, fd, "x", 1);
		for (;;)
			(void)syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	}
}

/* A child with so much memory, which then does this. */
static pid_t start_child(size_t bytes, void (*then)(int fd))
{
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		char *memory = malloc(bytes);
		for (size_t i = 0; memory != NULL && i < bytes; i += 4096)
			((volatile char *)memory)[i] = 1;
		then(ends[1]);
		_exit(0);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return pid;
}

static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

TEST(processes_are_counted_with_their_children)
{
	struct process_usage before, after;
	usage_of_processes(getpid(), &before);
	pid_t first = start_child(16 * MIB, wait_for_end), second = start_child(MIB, wait_for_end);
	usage_of_processes(getpid(), &after);
	assert_int_equal(before.processes, 1);
	assert_int_equal(after.processes, 3);
	assert_true(after.memory_bytes - before.memory_bytes >= (int64_t)(16 * MIB));
	assert_true(usage_exact_memory(first) >= (int64_t)(16 * MIB));
	end_child(first);
	end_child(second);
}

/* In the child: reads the zero page everywhere, by small pages. */
static void read_far_and_wide(int fd)
{
	const size_t len = 8192 * MIB;
	char *pages = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED)
		_exit(1);
	(void)madvise(pages, len, MADV_NOHUGEPAGE); /* a kernel that has none refuses */
	for (size_t at = 0; at < len; at += 2 * MIB)
		(void)((volatile char *)pages)[at];
	wait_for_end(fd);
}

TEST(page_tables_are_memory_too)
{
	struct process_usage usage;
	pid_t pid = start_child(MIB, read_far_and_wide);
	usage_of_processes(pid, &usage);
	assert_true(usage.memory_bytes >= (int64_t)(16 * MIB));
	assert_true(usage_exact_memory(pid) >= (int64_t)(16 * MIB));
	end_child(pid);
}

TEST(memory_that_a_child_has_from_its_parent_until_exec_is_counted_once)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) != 0)
		skip(); /* a kernel without it */
	pid_t alone = start_child(64 * MIB, wait_for_end), lender = start_child(64 * MIB, lend_memory);
	int64_t bytes = usage_exact_memory(lender);
	assert_true(bytes >= (int64_t)(64 * MIB));
	assert_true(bytes < usage_exact_memory(alone) * 3 / 2); /* a sanitizer has memory of its own beside each byte */
	end_child(alone);
	end_child(lender);
}

TEST(processor_time_of_ended_children_stays)
{
	struct process_usage before, after;
	usage_of_processes(getpid(), &before);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rusage used;
		do {
			CHECK(getrusage(RUSAGE_SELF, &used) == 0);
		} while (used.ru_utime.tv_usec + used.ru_stime.tv_usec < 100000);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	usage_of_processes(getpid(), &after);
	assert_true(after.cpu_ms - before.cpu_ms >= 80);
}

TEST(a_process_that_is_gone_takes_nothing)
{
	struct process_usage usage;
	pid_t pid = start_child(1, wait_for_end);
	end_child(pid);
	usage_of_processes(pid, &usage);
	assert_int_equal(usage.processes, 0);
	assert_int_equal(usage.memory_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_holds_what_its_folders_hold, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_file_with_two_names_is_one, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(links_are_not_followed_and_what_is_not_there_is_nothing, folder_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(counting_ends_at_the_limit, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(counting_ends_when_it_is_stopped, folder_make, folder_remove),
		cmocka_unit_test(processes_are_counted_with_their_children),
		cmocka_unit_test(page_tables_are_memory_too),
		cmocka_unit_test(memory_that_a_child_has_from_its_parent_until_exec_is_counted_once),
		cmocka_unit_test(processor_time_of_ended_children_stays),
		cmocka_unit_test(a_process_that_is_gone_takes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
