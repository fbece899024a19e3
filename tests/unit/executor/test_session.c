#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <dirent.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/attempt/session.h"

#define PROJECT "0198c1de-0000-7000-8000-000000000001"
#define BUILD "0198c1de-0000-7000-8000-000000000002"
#define OTHER "0198c1de-0000-7000-8000-000000000003"
#define PLENTY (1 << 20)

static char old_home[80], new_home[80];
static struct secrets secrets;

static int set_up(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	folder_mkdir("sessions");
	folder_mkdir("old");
	folder_mkdir("old/.claude");
	folder_mkdir("new");
	(void)snprintf(old_home, sizeof(old_home), "%s/old", folder);
	(void)snprintf(new_home, sizeof(new_home), "%s/new", folder);
	return 0;
}

static int tear_down(void **state)
{
	secrets_release(&secrets);
	return folder_remove(state);
}

static struct session session_in(const char *home, const char *project, const char *build, const char *id)
{
	return (struct session){folder, project, build, id, home, ".claude/s.jsonl"};
}

static void keep(const char *build, const char *id, int64_t all_bytes)
{
	const struct session session = session_in(old_home, PROJECT, build, id);
	session_keep(&session, &secrets, all_bytes);
}

static bool restore(const char *project, const char *build, const char *id)
{
	const struct session session = session_in(new_home, project, build, id);
	return session_restore(&session);
}

static size_t count_kept(void)
{
	char path[128];
	size_t count = 0;
	(void)snprintf(path, sizeof(path), "%s/sessions", folder);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		count += entry->d_name[0] != '.';
	assert_int_equal(closedir(dir), 0);
	return count;
}

TEST(what_was_kept_is_put_into_another_home_without_secrets)
{
	char path[128], text[128] = "";
	secrets_add(&secrets, "sk-very-secret-key");
	folder_write("old/.claude/s.jsonl", "{\"a\":\"sk-very-secret-key\"}\n{}\n");
	keep(BUILD, "one", PLENTY);
	assert_true(restore(PROJECT, BUILD, "one"));
	(void)snprintf(path, sizeof(path), "%s/new/.claude/s.jsonl", folder);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, "{\"a\":\"[masked]\"}\n{}\n");
	assert_int_equal(count_kept(), 1);
}

TEST(another_project_build_or_session_does_not_find_it)
{
	folder_write("old/.claude/s.jsonl", "{}\n");
	keep(BUILD, "one", PLENTY);
	assert_false(restore(OTHER, BUILD, "one"));
	assert_false(restore(PROJECT, OTHER, "one"));
	assert_false(restore(PROJECT, BUILD, "two"));
	assert_false(restore(NULL, BUILD, "one"));
	assert_true(restore(PROJECT, BUILD, "one"));
}

TEST(ids_that_are_paths_are_not_taken)
{
	static const char *const ids[] = {
		"", "..", "../one", "a/b", "a.b", "\n", "0123456789012345678901234567890123456789012345678901234567890123x"};
	folder_write("old/.claude/s.jsonl", "{}\n");
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		keep(BUILD, ids[i], PLENTY);
		assert_false(restore(PROJECT, BUILD, ids[i]));
	}
	keep(BUILD, NULL, PLENTY);
	assert_int_equal(count_kept(), 0);
}

TEST(what_is_no_whole_file_of_lines_is_not_kept)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/old/.claude/s.jsonl", folder);
	keep(BUILD, "one", PLENTY); /* none */
	folder_write("old/.claude/s.jsonl", "{}\n{\"cut");
	keep(BUILD, "one", PLENTY);
	folder_write("old/.claude/s.jsonl", "");
	keep(BUILD, "one", PLENTY);
	assert_int_equal(truncate(path, (off_t)SESSION_MAX_BYTES + 1), 0);
	keep(BUILD, "one", PLENTY);
	assert_int_equal(unlink(path), 0);
	folder_write("secret", "{}\n");
	assert_int_equal(symlink("../../secret", path), 0);
	keep(BUILD, "one", PLENTY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	keep(BUILD, "one", PLENTY);
	assert_int_equal(count_kept(), 0);
}

TEST(a_link_on_the_way_is_not_followed)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/old/.claude", folder);
	folder_mkdir("elsewhere");
	folder_write("elsewhere/s.jsonl", "{}\n");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("../elsewhere", path), 0);
	keep(BUILD, "one", PLENTY);
	assert_int_equal(count_kept(), 0);
}

TEST(the_oldest_go_when_there_is_no_room)
{
	char path[256];
	static const char *const ids[] = {"one", "two", "three"};
	folder_write("old/.claude/s.jsonl", "12345678\n");
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		keep(BUILD, ids[i], 20);
		(void)snprintf(path, sizeof(path), "%s/sessions/" PROJECT "." BUILD ".%s", folder, ids[i]);
		const struct timespec times[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	assert_int_equal(count_kept(), 2);
	assert_false(restore(PROJECT, BUILD, "one"));
	assert_true(restore(PROJECT, BUILD, "two") && restore(PROJECT, BUILD, "three"));
	keep(BUILD, "four", 0);
	assert_false(restore(PROJECT, BUILD, "four"));
}

TEST(the_oldest_go_when_there_are_too_many)
{
	char name[128], path[256];
	folder_write("old/.claude/s.jsonl", "{}\n");
	/* The order in which a folder is read is that of neither names nor ages, so three of them tell. */
	for (int i = 0; i < SESSION_MAX_FILES + 2; i++) {
		(void)snprintf(name, sizeof(name), "sessions/" PROJECT "." BUILD ".%d", i);
		folder_write(name, "{}\n");
		(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
		const struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	keep(BUILD, "new", PLENTY);
	assert_int_equal(count_kept(), SESSION_MAX_FILES);
	assert_true(restore(PROJECT, BUILD, "new"));
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		assert_false(restore(PROJECT, BUILD, name));
	}
	assert_true(restore(PROJECT, BUILD, "3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_kept_is_put_into_another_home_without_secrets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_project_build_or_session_does_not_find_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ids_that_are_paths_are_not_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_whole_file_of_lines_is_not_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_link_on_the_way_is_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_go_when_there_is_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_go_when_there_are_too_many, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
