#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <dirent.h>
#include <sys/stat.h>

static int open_folder(void)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void removed(const char *name)
{
	int fd = open_folder();
	struct error err = ERROR_INIT;
	if (remove_tree(fd, name, clock_boot_ms() + 60000, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW), -1);
	(void)close(fd);
}

TEST(what_is_not_there_is_removed)
{
	removed("nothing");
}

TEST(files_and_links_go_and_what_links_lead_to_stays)
{
	char path[256], target[256];
	folder_mkdir("kept");
	folder_write("kept/file", "x");
	(void)snprintf(target, sizeof(target), "%s/kept", folder);
	folder_mkdir("tree");
	(void)snprintf(path, sizeof(path), "%s/tree/link", folder);
	assert_int_equal(symlink(target, path), 0);
	(void)snprintf(path, sizeof(path), "%s/tree/dangling", folder);
	assert_int_equal(symlink("/nowhere", path), 0);
	(void)snprintf(path, sizeof(path), "%s/tree/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	removed("tree");
	(void)snprintf(path, sizeof(path), "%s/kept/file", folder);
	assert_int_equal(access(path, F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/lonely", folder);
	assert_int_equal(symlink(target, path), 0);
	removed("lonely");
	(void)snprintf(path, sizeof(path), "%s/kept/file", folder);
	assert_int_equal(access(path, F_OK), 0);
}

TEST(unwritable_directories_go)
{
	char path[256];
	folder_mkdir("tree");
	folder_mkdir("tree/a");
	folder_mkdir("tree/a/b");
	folder_write("tree/a/b/file", "x");
	static const char *const paths[] = {"tree/a/b", "tree/a", "tree"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, paths[i]);
		assert_int_equal(chmod(path, 0), 0);
	}
	removed("tree");
}

TEST(a_tree_deeper_than_any_path_goes)
{
	folder_mkdir("deep");
	int fd = open_folder();
	int at = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(mkdirat(at, "subfolder", 0755), 0);
		int next = openat(at, "subfolder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		assert_int_equal(mkdirat(at, "other", 0755), 0);
		(void)close(at);
		at = next;
	}
	(void)close(at);
	(void)close(fd);
	removed("deep");
}

TEST(many_files_go_in_slices)
{
	folder_mkdir("many");
	int fd = open_folder();
	for (int i = 0; i < 5000; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "many/%d", i);
		int file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(file >= 0);
		(void)close(file);
	}
	folder_mkdir("many/sub");
	folder_write("many/sub/file", "x");
	struct error err = ERROR_INIT;
	/* A deadline that has passed stops it, among plain files too, and the next call goes on. */
	assert_int_equal(remove_tree(fd, "many", clock_boot_ms() - 1, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(faccessat(fd, "many/4999", F_OK, 0), 0);
	(void)close(fd);
	removed("many");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_is_removed),
		cmocka_unit_test(files_and_links_go_and_what_links_lead_to_stays),
		cmocka_unit_test(unwritable_directories_go),
		cmocka_unit_test(a_tree_deeper_than_any_path_goes),
		cmocka_unit_test(many_files_go_in_slices),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
