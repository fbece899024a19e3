#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include "executor/artifacts/find.h"
#include "common/base/str.h"

static struct glob *glob;
static struct find find;
static char told[1024]; /* "path=why " of what was skipped */

static void skipped(void *ctx UNUSED, const char *path, enum find_skip why)
{
	size_t len = strlen(told);
	(void)snprintf(told + len, sizeof(told) - len, "%.100s=%d ", path, (int)why);
}

static int set_up(void **state)
{
	told[0] = '\0';
	return folder_make(state);
}

static int tear_down(void **state)
{
	find_release(&find);
	glob_free(glob);
	glob = NULL;
	(void)close(find.root_fd);
	return folder_remove(state);
}

/* What is found, separated by blanks. */
static const char *found(const char *text, size_t max)
{
	static char list[4096];
	struct error err = ERROR_INIT;
	assert_int_equal(glob_new(text, &glob, &err), 0);
	find = (struct find){
		.root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.globs = &glob,
		.globs_len = 1,
		.max = max,
		.deadline_ms = INT64_MAX,
		.skipped = skipped,
	};
	assert_int_equal(find_files(&find, &err), 0);
	size_t len = 0;
	list[0] = '\0';
	for (size_t i = 0; i < find.len; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s ", find.paths[i]);
	return list;
}

TEST(files_come_in_the_order_of_their_paths)
{
	folder_mkdir("b");
	folder_write("b/2", "");
	folder_write("a", "");
	folder_write("b/1", "");
	folder_write("c", "");
	assert_string_equal(found("**", 10), "a b/1 b/2 c ");
	assert_true(find.used[0]);
}

TEST(of_too_many_the_first_ones_are_kept_and_all_are_counted)
{
	for (int i = 0; i < 50; i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%02d", (i * 7) % 50);
		folder_write(name, "");
	}
	assert_string_equal(found("*", 3), "00 01 02 ");
	assert_int_equal(find.fitting, 50);
}

TEST(links_are_told_and_lead_nowhere)
{
	folder_mkdir("d");
	folder_write("d/x", "");
	folder_link("/etc", "etc");
	folder_link("d/x", "x");
	folder_link("..", "d/up");
	assert_string_equal(found("**", 10), "d/x ");
	assert_non_null(strstr(told, "etc=0 "));
	assert_non_null(strstr(told, "x=0 "));
	assert_non_null(strstr(told, "d/up=0 "));
}

TEST(a_link_on_the_way_of_a_glob_is_not_gone_through)
{
	folder_link("/etc", "etc");
	assert_string_equal(found("etc/passwd", 10), "");
	assert_false(find.used[0]);
}

TEST(a_fifo_is_no_file_and_is_not_waited_for)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_string_equal(found("*", 10), "");
	assert_string_equal(told, "fifo=1 ");
}

TEST(gits_own_folders_are_not_looked_into)
{
	folder_mkdir(".git");
	folder_write(".git/config", "");
	folder_mkdir("sub");
	folder_mkdir("sub/.git");
	folder_write("sub/.git/config", "");
	folder_write("sub/.gitignore", "");
	assert_string_equal(found("**", 10), "sub/.gitignore ");
}

TEST(folders_nested_too_deep_are_told)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i <= FIND_MAX_DEPTH; i++) {
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	folder_write("top", "");
	assert_string_equal(found("**", 10), "top ");
	assert_non_null(strstr(told, "=3 "));
}

TEST(a_name_that_is_no_utf8_is_told)
{
	folder_write("a\xFF", "");
	assert_string_equal(found("*", 10), "");
	assert_string_equal(told, "a\xFF=5 ");
}

TEST(a_deadline_ends_the_walk)
{
	struct error err = ERROR_INIT;
	folder_write("a", "");
	(void)found("nothing", 1);
	find.deadline_ms = clock_boot_ms() - 1;
	find_release(&find);
	assert_int_equal(find_files(&find, &err), 0);
	assert_true(find.late);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(files_come_in_the_order_of_their_paths),
		IN_FOLDER(of_too_many_the_first_ones_are_kept_and_all_are_counted),
		IN_FOLDER(links_are_told_and_lead_nowhere),
		IN_FOLDER(a_link_on_the_way_of_a_glob_is_not_gone_through),
		IN_FOLDER(a_fifo_is_no_file_and_is_not_waited_for),
		IN_FOLDER(gits_own_folders_are_not_looked_into),
		IN_FOLDER(folders_nested_too_deep_are_told),
		IN_FOLDER(a_name_that_is_no_utf8_is_told),
		IN_FOLDER(a_deadline_ends_the_walk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
