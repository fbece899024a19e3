#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include "executor/git/tree_limits.h"

static git_repository *repo;
static const struct tree_limits roomy = {.files = 1000, .bytes = 1000, .depth = 10};

static int begin(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	git_library_init();
	assert_int_equal(git_libgit2_opts(GIT_OPT_ENABLE_STRICT_OBJECT_CREATION, 0), 0); /* trees of what is not there */
	return git_repository_init(&repo, folder, 1);
}

static int end(void **state)
{
	git_repository_free(repo);
	(void)git_libgit2_shutdown();
	return folder_remove(state);
}

static git_oid blob(const char *text)
{
	git_oid oid;
	assert_int_equal(git_blob_create_from_buffer(&oid, repo, text, strlen(text)), 0);
	return oid;
}

/* The same thing under so many names. */
static git_oid tree(const git_oid *entry, git_filemode_t mode, int count)
{
	git_treebuilder *builder = NULL;
	git_oid oid;
	assert_int_equal(git_treebuilder_new(&builder, repo, NULL), 0);
	for (int i = 0; i < count; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "e%d", i);
		assert_int_equal(git_treebuilder_insert(NULL, builder, name, entry, mode), 0);
	}
	assert_int_equal(git_treebuilder_write(&oid, builder), 0);
	git_treebuilder_free(builder);
	return oid;
}

static void fits(const git_oid *root, struct tree_limits limits)
{
	struct error err = ERROR_INIT;
	assert_int_equal(tree_limits_check(repo, root, &limits, &err), 0);
}

static void passes(const git_oid *root, struct tree_limits limits, const char *which)
{
	struct error err = ERROR_INIT;
	assert_int_equal(tree_limits_check(repo, root, &limits, &err), 1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, which));
}

TEST(files_and_folders_are_counted_once_for_each_place)
{
	git_oid file = blob("x"), inner = tree(&file, GIT_FILEMODE_BLOB, 3), root = tree(&inner, GIT_FILEMODE_TREE, 4);
	fits(&root, (struct tree_limits){.files = 16, .bytes = 1000, .depth = 10}); /* 4 folders with 3 files each */
	passes(&root, (struct tree_limits){.files = 15, .bytes = 1000, .depth = 10}, "over 15 files and folders");
}

TEST(bytes_are_counted_once_for_each_place)
{
	git_oid file = blob("12345"), root = tree(&file, GIT_FILEMODE_BLOB, 4);
	fits(&root, (struct tree_limits){.files = 1000, .bytes = 20, .depth = 10});
	passes(&root, (struct tree_limits){.files = 1000, .bytes = 19, .depth = 10}, "over 19 bytes of files");
}

TEST(folders_in_folders_have_a_limit)
{
	git_oid file = blob("x"), root = tree(&file, GIT_FILEMODE_BLOB, 1);
	for (int i = 0; i < 5; i++)
		root = tree(&root, GIT_FILEMODE_TREE, 1);
	fits(&root, (struct tree_limits){.files = 1000, .bytes = 1000, .depth = 5});
	passes(&root, (struct tree_limits){.files = 1000, .bytes = 1000, .depth = 4}, "folders more than 4 deep");
}

TEST(a_tree_without_end_costs_no_more_than_the_limit)
{
	git_oid file = blob("x"), root = tree(&file, GIT_FILEMODE_BLOB, 10);
	for (int i = 0; i < 20; i++)
		root = tree(&root, GIT_FILEMODE_TREE, 10);
	passes(&root, (struct tree_limits){.files = 10000, .bytes = 100000, .depth = 100}, "files and folders");
}

TEST(a_folder_of_too_many_files_is_not_even_read)
{
	git_odb *odb = NULL;
	git_oid root;
	static char garbage[1000]; /* no tree: reading it would fail */
	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(git_repository_odb(&odb, repo), 0);
	assert_int_equal(git_odb_write(&root, odb, garbage, sizeof(garbage), GIT_OBJECT_TREE), 0);
	git_odb_free(odb);
	passes(&root, (struct tree_limits){.files = 2, .bytes = 1000, .depth = 10}, "over 2 files and folders");
	struct error err = ERROR_INIT;
	assert_int_equal(tree_limits_check(repo, &root, &roomy, &err), -1);
}

TEST(submodules_are_folders_that_nobody_looks_into)
{
	git_oid elsewhere, root;
	assert_int_equal(git_oid_fromstr(&elsewhere, "1111111111111111111111111111111111111111"), 0);
	root = tree(&elsewhere, GIT_FILEMODE_COMMIT, 2);
	fits(&root, (struct tree_limits){.files = 2, .bytes = 0, .depth = 0});
	passes(&root, (struct tree_limits){.files = 1, .bytes = 0, .depth = 0}, "over 1 files and folders");
}

TEST(what_is_missing_is_libgit2s_failure)
{
	git_oid missing;
	struct error err = ERROR_INIT;
	assert_int_equal(git_oid_fromstr(&missing, "1111111111111111111111111111111111111111"), 0);
	assert_int_equal(tree_limits_check(repo, &missing, &roomy, &err), -1);
	git_oid root = tree(&missing, GIT_FILEMODE_BLOB, 1);
	assert_int_equal(tree_limits_check(repo, &root, &roomy, &err), -1);
	assert_true(git_library_error_is_corruption());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_and_folders_are_counted_once_for_each_place, begin, end),
		cmocka_unit_test_setup_teardown(bytes_are_counted_once_for_each_place, begin, end),
		cmocka_unit_test_setup_teardown(folders_in_folders_have_a_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_tree_without_end_costs_no_more_than_the_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_folder_of_too_many_files_is_not_even_read, begin, end),
		cmocka_unit_test_setup_teardown(submodules_are_folders_that_nobody_looks_into, begin, end),
		cmocka_unit_test_setup_teardown(what_is_missing_is_libgit2s_failure, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
