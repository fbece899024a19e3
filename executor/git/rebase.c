/* commit_rebase: the build's commits onto a branch that has moved meanwhile. In memory, by libgit2's merge; no working
 * directory is touched. */
#include "executor/git/commit.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "executor/git/rewrite.h"

/* "conflict in a, b and others" */
static int conflict(git_index *index, struct error *err)
{
	struct buffer names;
	buffer_init(&names, 400);
	git_index_conflict_iterator *it = NULL;
	const git_index_entry *ancestor, *ours, *theirs;
	if (git_index_conflict_iterator_new(&it, index) == 0) {
		while (git_index_conflict_next(&ancestor, &ours, &theirs, it) == 0) {
			const git_index_entry *entry = ours != NULL ? ours : theirs != NULL ? theirs : ancestor;
			if (buffer_appendf(&names, "%s%s", names.len > 0 ? ", " : "", entry->path) < 0)
				break;
		}
	}
	git_index_conflict_iterator_free(it);
	int rc = error_set(err, ERR_CONFLICT, "the branch has moved, and both sides changed %s%s",
					   names.len > 0 ? names.data : "the same file", names.overflowed ? " and others" : "");
	buffer_release(&names);
	return rc;
}

static int write_merged(git_repository *repo, git_index *index, git_oid *ret_tree, struct error *err)
{
	if (git_index_has_conflicts(index))
		return conflict(index, err);
	if (git_index_write_tree_to(ret_tree, index, repo) < 0)
		return git_library_error(err, ERR_INTERNAL, "rebasing");
	return 0;
}

/* One commit again, with another parent and tree. `last`: it carries the trailers of the build, whose commits stand on
 * `onto`. */
static int transplant(git_repository *repo, const struct commit_identity *identity, git_commit *old, bool last,
					  const git_oid *onto, const git_oid *parent, const git_oid *tree, git_oid *ret_commit,
					  struct error *err)
{
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	if (git_signature_now(&us, identity->name, identity->email) < 0)
		return git_library_error(err, ERR_INTERNAL, "the committer");
	char base_text[GIT_OID_HEXSZ + 1];
	CLEANUP(free_p)
	char *signed_message =
		last ? rewrite_message(git_commit_message(old), identity, rewrite_base(onto, parent, 1, base_text)) : NULL;
	struct new_commit commit = {.author = git_commit_author(old),
								.committer = us,
								.message = last ? signed_message : git_commit_message(old),
								.tree = *tree,
								.parents = {*parent},
								.parents_len = 1};
	return rewrite_commit(repo, &commit, ret_commit, err);
}

static int tree_of_commit(git_repository *repo, const git_oid *oid, git_tree **ret_tree, struct error *err)
{
	CLEANUP(git_commit_free_p) git_commit *commit = NULL;
	if (git_commit_lookup(&commit, repo, oid) < 0 || git_commit_tree(ret_tree, commit) < 0)
		return git_library_error(err, ERR_INTERNAL, "reading a commit");
	return 0;
}

/* Everything between base and commit as one commit: for histories with merges, for those that began unborn, for long
 * ones and for those that take too long (ours on top of as many as an agent may have made is one too many). */
static int squash(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
				  const git_oid *commit, const git_oid *onto, struct commit_made *made, struct error *err)
{
	CLEANUP(git_tree_free_p) git_tree *base_tree = NULL;
	CLEANUP(git_tree_free_p) git_tree *ours = NULL;
	CLEANUP(git_tree_free_p) git_tree *theirs = NULL;
	CLEANUP(git_index_free_p) git_index *index = NULL;
	CLEANUP(git_commit_free_p) git_commit *last = NULL;
	if ((base != NULL && tree_of_commit(repo, base, &base_tree, err) < 0) ||
		tree_of_commit(repo, onto, &ours, err) < 0 || tree_of_commit(repo, commit, &theirs, err) < 0)
		return -1;
	git_merge_options options;
	CHECK(git_merge_options_init(&options, GIT_MERGE_OPTIONS_VERSION) == 0);
	git_oid tree;
	if (git_merge_trees(&index, repo, base_tree, ours, theirs, &options) < 0 ||
		git_commit_lookup(&last, repo, commit) < 0)
		return git_library_error(err, ERR_INTERNAL, "rebasing");
	if (write_merged(repo, index, &tree, err) < 0)
		return -1;
	made->changed = !git_oid_equal(&tree, git_tree_id(ours));
	return made->changed ? transplant(repo, identity, last, true, onto, onto, &tree, &made->commit, err) : 0;
}

static bool is_linear(git_repository *repo, const git_oid *commits, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		CLEANUP(git_commit_free_p) git_commit *commit = NULL;
		if (git_commit_lookup(&commit, repo, &commits[i]) < 0 || git_commit_parentcount(commit) != 1)
			return false;
	}
	return true;
}

/* Picks one commit onto *tip and moves *tip, which was `onto` at first. A commit that changes nothing any more is
 * dropped, unless it is the `last` one, which carries the trailers, of several. */
static int pick(git_repository *repo, const struct commit_identity *identity, const git_oid *oid, bool last,
				const git_oid *onto, git_oid *tip, struct error *err)
{
	CLEANUP(git_commit_free_p) git_commit *commit = NULL;
	CLEANUP(git_commit_free_p) git_commit *ours = NULL;
	CLEANUP(git_index_free_p) git_index *index = NULL;
	git_merge_options options;
	CHECK(git_merge_options_init(&options, GIT_MERGE_OPTIONS_VERSION) == 0);
	if (git_commit_lookup(&commit, repo, oid) < 0 || git_commit_lookup(&ours, repo, tip) < 0 ||
		git_cherrypick_commit(&index, repo, commit, ours, 0, &options) < 0)
		return git_library_error(err, ERR_INTERNAL, "rebasing");
	git_oid tree;
	if (write_merged(repo, index, &tree, err) < 0)
		return -1;
	bool picked_some = !git_oid_equal(tip, onto);
	if (git_oid_equal(&tree, git_commit_tree_id(ours)) && !(last && picked_some))
		return 0;
	git_oid parent = *tip;
	return transplant(repo, identity, commit, last, onto, &parent, &tree, tip, err);
}

int commit_rebase(struct workspace *workspace, const struct commit_identity *identity, const git_oid *base,
				  const git_oid *commit, const git_oid *onto, int64_t picks_until_ms, struct commit_made *ret_made,
				  struct error *err)
{
	git_repository *repo = workspace->repo;
	CLEANUP(free_p) git_oid *commits = NULL;
	size_t len = 0;
	struct commit_made made = {.changed = false, .commit = *onto};
	int rc = rewrite_list(repo, base, commit, &commits, &len, err);
	if (rc < 0)
		return -1;
	bool as_one = rc > 0 || base == NULL || !is_linear(repo, commits, len);
	for (size_t i = 0; !as_one && i < len; i++) {
		as_one = clock_boot_ms() >= picks_until_ms;
		if (!as_one && pick(repo, identity, &commits[i], i == len - 1, onto, &made.commit, err) < 0)
			return -1;
	}
	made.changed = !git_oid_equal(&made.commit, onto);
	if (as_one && squash(repo, identity, base, commit, onto, &made, err) < 0)
		return -1;
	*ret_made = made;
	return 0;
}
