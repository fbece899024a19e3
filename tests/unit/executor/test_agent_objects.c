#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <unistd.h>

#include "common/base/alloc.h"
#include "executor/git/agent_objects.h"
#include "executor/git/rule_files.h"

TEST(names_that_are_git_to_some_file_system_are_refused)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"a/b",
		"/",
		".git",
		".GIT",
		".gIt",
		".git ",
		".git..",
		".git . ",
		".git::$IND",
		"git~1",
		"GIT~1",
		".git\\hooks",
		"a\\.git",
		"x\\git~1",
		"a\\b\\.GIT \\c",
		"\\.git",
		".g\u200cit",
		"\ufeff.git",
		".git\u200f",
		"\u206a.\u202ag\u202eit"}; /* NOLINT(misc-misleading-bidirectional) what git takes for .git */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (agent_objects_name_is_safe(bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
	}
}

TEST(other_names_are_taken)
{
	static const char *const good[] = {".gitignore", ".gitmodules", ".gita",         "git",    "git~2", "...",
									   "a.git",      ".git-x",      ".gitgitgitgit", "x",      "\xff",  "\u00e4.git",
									   " ",          ".g it",       "a\\b",          "a\\git", "\\"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!agent_objects_name_is_safe(good[i]))
			fail_msg("\"%s\" is refused", good[i]);
	}
}

static int open_in_folder(const char *name)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", folder, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void assert_not_there(const char *name)
{
	errno = 0;
	assert_int_equal(open_in_folder(name), -1);
	assert_int_equal(errno, ENOENT);
}

TEST(rule_files_are_regular_files_or_none)
{
	char path[256];
	folder_write(".gitignore", "x\n");
	int fd = open_in_folder(".gitignore");
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	(void)snprintf(path, sizeof(path), "%s/.gitattributes", folder);
	assert_int_equal(symlink(".gitignore", path), 0);
	assert_not_there(".gitattributes");
	folder_mkdir("d");
	(void)snprintf(path, sizeof(path), "%s/d/.gitignore", folder);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_not_there("d/.gitignore");
	folder_mkdir("d/.gitattributes");
	assert_not_there("d/.gitattributes");
	folder_write(".gitmodules", "");
	(void)snprintf(path, sizeof(path), "%s/.gitmodules", folder);
	assert_int_equal(truncate(path, RULE_FILE_MAX_BYTES + 1), 0);
	assert_not_there(".gitmodules");
	assert_int_equal(truncate(path, RULE_FILE_MAX_BYTES), 0);
	fd = open_in_folder(".gitmodules");
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

TEST(other_files_are_opened_as_ever)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/new", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	struct stat info;
	assert_int_equal(fstat(fd, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0640);
	assert_int_equal(close(fd), 0);
	(void)snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(symlink("new", path), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_true(rule_files_in_place());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_are_git_to_some_file_system_are_refused),
		cmocka_unit_test(other_names_are_taken),
		cmocka_unit_test_setup_teardown(rule_files_are_regular_files_or_none, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(other_files_are_opened_as_ever, folder_make, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
