#include "tests/unit/unit.h"

#include <string.h>

#include "common/base/clock.h"
#include "executor/git/commit.h"
#include "tests/unit/executor/folder.h"

#define COMMITS 5

static struct workspace workspace;
static git_oid base, ours[COMMITS], onto; /* five commits on the base, and the branch that has moved from it */
static const struct commit_identity identity = {
	.name = "Kiln", .email = "kiln@localhost", .build_id = "b", .attempt = 1};

/* A commit with one more file. `parent` NULL: the first. */
static void commit_file_saying(const git_oid *parent, const char *name, const char *message, git_oid *ret_commit)
{
	git_repository *repo = workspace.repo;
	CLEANUP(git_commit_free_p) git_commit *below = NULL;
	CLEANUP(git_tree_free_p) git_tree *before = NULL;
	CLEANUP(git_tree_free_p) git_tree *after = NULL;
	CLEANUP(git_signature_free_p) git_signature *somebody = NULL;
	git_treebuilder *builder = NULL;
	git_oid blob, tree;
	assert_int_equal(git_signature_new(&somebody, "x", "x@localhost", 1700000000, 0), 0);
	if (parent != NULL) {
		assert_int_equal(git_commit_lookup(&below, repo, parent), 0);
		assert_int_equal(git_commit_tree(&before, below), 0);
	}
	assert_int_equal(git_blob_create_from_buffer(&blob, repo, name, strlen(name)), 0);
	assert_int_equal(git_treebuilder_new(&builder, repo, before), 0);
	assert_int_equal(git_treebuilder_insert(NULL, builder, name, &blob, GIT_FILEMODE_BLOB), 0);
	assert_int_equal(git_treebuilder_write(&tree, builder), 0);
	git_treebuilder_free(builder);
	assert_int_equal(git_tree_lookup(&after, repo, &tree), 0);
	const git_commit *parents[] = {below};
	assert_int_equal(git_commit_create(ret_commit, repo, NULL, somebody, somebody, NULL, message, after,
									   parent != NULL ? 1 : 0, parents),
					 0);
}

static void commit_file(const git_oid *parent, const char *name, git_oid *ret_commit)
{
	commit_file_saying(parent, name, name, ret_commit);
}

static int begin(void **state)
{
	char path[128];
	if (folder_make(state) < 0)
		return -1;
	git_library_init();
	(void)snprintf(path, sizeof(path), "%s/kiln.git", folder);
	if (git_repository_init(&workspace.repo, path, 1) < 0)
		return -1;
	commit_file(NULL, "base", &base);
	commit_file(&base, "other", &onto);
	for (int i = 0; i < COMMITS; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "%d", i);
		commit_file(i == 0 ? &base : &ours[i - 1], name, &ours[i]);
	}
	return 0;
}

static int end(void **state)
{
	git_repository_free(workspace.repo);
	return folder_remove(state);
}

/* How many commits lie between, and that all files are there. */
static size_t commits_made(const struct commit_made *made)
{
	assert_true(made->changed);
	CLEANUP(git_commit_free_p) git_commit *last = NULL;
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	assert_int_equal(git_commit_lookup(&last, workspace.repo, &made->commit), 0);
	assert_int_equal(git_commit_tree(&tree, last), 0);
	assert_int_equal(git_tree_entrycount(tree), COMMITS + 2);
	size_t ahead, behind;
	assert_int_equal(git_graph_ahead_behind(&ahead, &behind, workspace.repo, &made->commit, &onto), 0);
	assert_int_equal(behind, 0);
	return ahead;
}

static void stands_on(const git_oid *commit, const git_oid *expected)
{
	git_oid found;
	bool has = false;
	struct error err = ERROR_INIT;
	assert_int_equal(commit_base(workspace.repo, commit, &found, &has, &err), 0);
	assert_int_equal(has, expected != NULL);
	assert_true(expected == NULL || git_oid_equal(&found, expected));
}

static int rebase(int64_t picks_until_ms, struct commit_made *ret_made, struct error *err)
{
	return commit_rebase(&workspace, &identity, &base, &ours[COMMITS - 1], &onto, picks_until_ms, ret_made, err);
}

TEST(commits_are_picked_one_by_one)
{
	struct commit_made made;
	struct error err = ERROR_INIT;
	assert_int_equal(rebase(clock_boot_ms() + 60000, &made, &err), 0);
	assert_int_equal(commits_made(&made), COMMITS);
}

TEST(what_takes_too_long_becomes_one_commit)
{
	struct commit_made made;
	struct error err = ERROR_INIT;
	assert_int_equal(rebase(clock_boot_ms(), &made, &err), 0);
	assert_int_equal(commits_made(&made), 1);
}

TEST(a_rebased_commit_tells_what_the_first_of_its_build_stands_on)
{
	struct commit_made made;
	struct error err = ERROR_INIT;
	assert_int_equal(rebase(clock_boot_ms() + 60000, &made, &err), 0);
	stands_on(&made.commit, &onto);
	assert_int_equal(rebase(clock_boot_ms(), &made, &err), 0);
	stands_on(&made.commit, &onto);
}

TEST(rebased_again_it_tells_the_new_place)
{
	struct commit_made first, second;
	struct error err = ERROR_INIT;
	git_oid later;
	assert_int_equal(rebase(clock_boot_ms() + 60000, &first, &err), 0);
	commit_file(&onto, "later", &later);
	assert_int_equal(
		commit_rebase(&workspace, &identity, &onto, &first.commit, &later, clock_boot_ms() + 60000, &second, &err), 0);
	stands_on(&second.commit, &later);
}

/* What a commit with this trailer above all of ours is found to stand on. */
static void claims_to_stand_on(const git_oid *claimed, const git_oid *expected)
{
	char message[128], sha[GIT_OID_HEXSZ + 1];
	git_oid commit;
	git_oid_text(claimed, sha);
	(void)snprintf(message, sizeof(message), "x\n\nKiln-Base: %s\n", sha);
	commit_file_saying(&ours[COMMITS - 1], "last", message, &commit);
	stands_on(&commit, expected);
}

TEST(what_a_commit_says_to_stand_on_counts_only_when_it_is_below_it)
{
	claims_to_stand_on(&ours[0], &ours[0]);
	claims_to_stand_on(&onto, &ours[COMMITS - 1]);
}

TEST(commits_may_stand_on_nothing)
{
	static const git_oid nothing = {.id = {0}};
	claims_to_stand_on(&nothing, NULL);
	stands_on(&base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commits_are_picked_one_by_one, begin, end),
		cmocka_unit_test_setup_teardown(what_takes_too_long_becomes_one_commit, begin, end),
		cmocka_unit_test_setup_teardown(a_rebased_commit_tells_what_the_first_of_its_build_stands_on, begin, end),
		cmocka_unit_test_setup_teardown(rebased_again_it_tells_the_new_place, begin, end),
		cmocka_unit_test_setup_teardown(what_a_commit_says_to_stand_on_counts_only_when_it_is_below_it, begin, end),
		cmocka_unit_test_setup_teardown(commits_may_stand_on_nothing, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
