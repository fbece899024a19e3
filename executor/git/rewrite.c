#include "executor/git/rewrite.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "executor/git/trailers.h"

#define MAX_COMMITS 10000
#define TRAILER_ROOM 320

int rewrite_commit(git_repository *repo, const struct new_commit *commit, git_oid *ret_commit, struct error *err)
{
	git_commit *parents[COMMIT_MAX_PARENTS] = {NULL};
	git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, repo, &commit->tree);
	for (size_t i = 0; rc == 0 && i < commit->parents_len; i++)
		rc = git_commit_lookup(&parents[i], repo, &commit->parents[i]);
	if (rc == 0) {
		const git_commit *const_parents[COMMIT_MAX_PARENTS];
		memcpy(const_parents, parents, sizeof(parents));
		rc = git_commit_create(ret_commit, repo, NULL, commit->author, commit->committer, NULL, commit->message, tree,
							   commit->parents_len, const_parents);
	}
	if (rc < 0)
		(void)git_library_error(err, ERR_INTERNAL, "making a commit"); /* rc says it */
	for (size_t i = 0; i < commit->parents_len; i++)
		git_commit_free(parents[i]);
	git_tree_free(tree);
	return rc < 0 ? -1 : 0;
}

const char *rewrite_base(const git_oid *base, const git_oid *parents, size_t parents_len, char text[GIT_OID_HEXSZ + 1])
{
	if (base == NULL ? parents_len == 0 : parents_len == 1 && git_oid_equal(base, &parents[0]))
		return NULL;
	static const git_oid nothing = {.id = {0}};
	git_oid_text(base != NULL ? base : &nothing, text);
	return text;
}

char *rewrite_message(const char *message, const struct commit_identity *identity, const char *base_sha)
{
	struct buffer text;
	buffer_init(&text, strlen(message) + 2 + TRAILER_ROOM);
	trailers_strip(&text, message);
	if (identity != NULL) {
		char attempt[24];
		(void)snprintf(attempt, sizeof(attempt), "%lld", (long long)identity->attempt);
		if (text.len == 0)
			(void)buffer_appendf(&text, "Build %s", identity->build_id); /* there is room, as computed */
		trailers_add(&text, "Kiln-Build", identity->build_id);
		trailers_add(&text, "Kiln-Attempt", attempt);
		if (base_sha != NULL)
			trailers_add(&text, "Kiln-Base", base_sha);
	}
	(void)buffer_append_char(&text, '\n'); /* as above */
	CHECK(buffer_ok(&text));
	return buffer_detach(&text, NULL);
}

int rewrite_list(git_repository *repo, const git_oid *base, const git_oid *tip, git_oid **ret_commits, size_t *ret_len,
				 struct error *err)
{
	CLEANUP(git_revwalk_free_p) git_revwalk *walk = NULL;
	if (git_revwalk_new(&walk, repo) < 0 || git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE) < 0 ||
		git_revwalk_push(walk, tip) < 0 || (base != NULL && git_revwalk_hide(walk, base) < 0))
		return git_library_error(err, ERR_INTERNAL, "walking commits");
	CLEANUP(free_p) git_oid *commits = xcalloc(MAX_COMMITS, sizeof(*commits));
	size_t len = 0;
	git_oid oid;
	int rc;
	while ((rc = git_revwalk_next(&oid, walk)) == 0) {
		if (len == MAX_COMMITS)
			return 1;
		commits[len++] = oid;
	}
	if (rc != GIT_ITEROVER)
		return git_library_error(err, ERR_INTERNAL, "walking commits");
	*ret_commits = commits;
	*ret_len = len;
	commits = NULL;
	return 0;
}

/* The rewritten id of a commit of the range; itself when it is not in the range. */
static const git_oid *mapped(const git_oid *from, const git_oid *to, size_t len, const git_oid *oid)
{
	for (size_t i = len; i > 0; i--) {
		if (git_oid_equal(&from[i - 1], oid))
			return &to[i - 1];
	}
	return oid;
}

static int rewrite_one(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
					   const git_oid *from, const git_oid *to, size_t index, bool sign, git_oid *ret_oid,
					   const char **ret_why, struct error *err)
{
	CLEANUP(git_commit_free_p) git_commit *old = NULL;
	if (git_commit_lookup(&old, repo, &from[index]) < 0)
		return git_library_error(err, ERR_INTERNAL, "reading a commit");
	struct new_commit commit = {.author = git_commit_author(old), .tree = *git_commit_tree_id(old)};
	bool same = !sign && !trailers_present(git_commit_message(old));
	unsigned parents = git_commit_parentcount(old);
	if (parents > COMMIT_MAX_PARENTS) {
		*ret_why = "a commit has too many parents";
		return 1;
	}
	for (unsigned i = 0; i < parents; i++) {
		commit.parents[i] = *mapped(from, to, index, git_commit_parent_id(old, i));
		same = same && git_oid_equal(&commit.parents[i], git_commit_parent_id(old, i));
	}
	commit.parents_len = parents;
	if (same) {
		*ret_oid = from[index];
		return 0;
	}
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	if (git_signature_now(&us, identity->name, identity->email) < 0)
		return git_library_error(err, ERR_INTERNAL, "the committer");
	char base_text[GIT_OID_HEXSZ + 1];
	CLEANUP(free_p)
	char *message = rewrite_message(git_commit_message(old), sign ? identity : NULL,
									rewrite_base(base, commit.parents, commit.parents_len, base_text));
	commit.committer = sign ? us : git_commit_committer(old);
	commit.message = message;
	return rewrite_commit(repo, &commit, ret_oid, err);
}

int rewrite_history(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
					const git_oid *tip, bool sign_tip, git_oid *ret_tip, const char **ret_why, struct error *err)
{
	CLEANUP(free_p) git_oid *from = NULL;
	size_t len = 0;
	int rc = rewrite_list(repo, base, tip, &from, &len, err);
	if (rc > 0)
		*ret_why = "they are too many";
	if (rc != 0)
		return rc;
	CHECK(len > 0); /* the caller has checked that there are commits */
	CLEANUP(free_p) git_oid *to = xcalloc(len, sizeof(*to));
	for (size_t i = 0; rc == 0 && i < len; i++)
		rc = rewrite_one(repo, identity, base, from, to, i, sign_tip && i == len - 1, &to[i], ret_why, err);
	if (rc == 0)
		*ret_tip = to[len - 1];
	return rc;
}
