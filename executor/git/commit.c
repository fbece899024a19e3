#include "executor/git/commit.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/str.h"
#include "common/base/utf8.h"
#include "executor/git/rewrite.h"
#include "executor/git/trailers.h"

#define SUBJECT_BYTES 200

static int empty_tree(git_repository *repo, git_oid *ret_tree, struct error *err)
{
	git_odb *odb = NULL;
	int rc = git_repository_odb(&odb, repo) < 0 || git_odb_write(ret_tree, odb, "", 0, GIT_OBJECT_TREE) < 0 ? -1 : 0;
	if (rc < 0)
		(void)git_library_error(err, ERR_INTERNAL, "writing the empty tree"); /* rc says it */
	git_odb_free(odb);
	return rc;
}

static int tree_of(git_repository *repo, const git_oid *commit, git_oid *ret_tree, struct error *err)
{
	if (commit == NULL)
		return empty_tree(repo, ret_tree, err);
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	if (git_commit_lookup(&object, repo, commit) < 0)
		return git_library_error(err, ERR_INTERNAL, "reading a commit");
	*ret_tree = *git_commit_tree_id(object);
	return 0;
}

/* `base` is what the build's commits stand on, `parent` it or the last of the agent's. */
static int commit_on_top(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
						 const git_oid *parent, const git_oid *tree, git_oid *ret_commit, struct error *err)
{
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	if (git_signature_now(&us, identity->name, identity->email) < 0)
		return git_library_error(err, ERR_INTERNAL, "the committer");
	struct new_commit commit = {.author = us, .committer = us, .tree = *tree};
	if (parent != NULL)
		commit.parents[commit.parents_len++] = *parent;
	char base_text[GIT_OID_HEXSZ + 1];
	CLEANUP(free_p)
	char *message =
		rewrite_message(identity->message, identity, rewrite_base(base, commit.parents, commit.parents_len, base_text));
	commit.message = message;
	return rewrite_commit(repo, &commit, ret_commit, err);
}

/* 0; 1 = the agent's commits cannot be below it, and made->unused says why; -1. */
static int commit_on_agents(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
							const git_oid *agents, const git_oid *tree, struct commit_made *made, struct error *err)
{
	git_oid agents_tree, tip;
	if (tree_of(repo, agents, &agents_tree, err) < 0)
		return -1;
	bool clean = git_oid_equal(&agents_tree, tree) != 0;
	int rc = rewrite_history(repo, identity, base, agents, clean, &tip, &made->unused, err);
	if (rc != 0)
		return rc;
	made->commit = tip;
	return clean ? 0 : commit_on_top(repo, identity, base, &tip, tree, &made->commit, err);
}

int commit_make(struct workspace *workspace, const struct commit_identity *identity, const git_oid *base,
				const struct agent_commits *agent, const git_oid *tree, struct commit_made *ret_made, struct error *err)
{
	git_repository *repo = workspace->repo;
	struct commit_made made = {.changed = true};
	int rc = agent->found ? commit_on_agents(repo, identity, base, &agent->tip, tree, &made, err) : 1;
	if (rc > 0) {
		git_oid base_tree;
		if (tree_of(repo, base, &base_tree, err) < 0)
			return -1;
		made.changed = git_oid_equal(&base_tree, tree) == 0;
		rc = made.changed ? commit_on_top(repo, identity, base, base, tree, &made.commit, err) : 0;
	}
	if (rc == 0)
		*ret_made = made;
	return rc;
}

char *commit_subject(const char *prompt)
{
	const char *line = prompt + strspn(prompt, " \t\r\n\v\f");
	return xstrndup(line, utf8_cut(line, strcspn(line, "\r\n"), SUBJECT_BYTES));
}

/* Whether the commit says it, as *ret_base (zero: on nothing). */
static bool told_base(git_repository *repo, git_commit *commit, git_oid *ret_base)
{
	size_t len = 0;
	const char *text = trailers_find(git_commit_message(commit), "Kiln-Base", &len);
	if (text == NULL || len != GIT_OID_HEXSZ || git_oid_fromstrn(ret_base, text, len) < 0)
		return false;
	/* Whoever may push may write anything. */
	return git_oid_is_zero(ret_base) || git_graph_descendant_of(repo, git_commit_id(commit), ret_base) == 1;
}

int commit_base(git_repository *repo, const git_oid *commit, git_oid *ret_base, bool *ret_has, struct error *err)
{
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	git_oid base;
	if (git_commit_lookup(&object, repo, commit) < 0)
		return git_library_error(err, ERR_INTERNAL, "reading a commit");
	bool told = told_base(repo, object, &base), has_parent = git_commit_parentcount(object) > 0;
	if (!told && has_parent)
		base = *git_commit_parent_id(object, 0);
	*ret_has = told ? !git_oid_is_zero(&base) : has_parent;
	if (*ret_has)
		*ret_base = base;
	return 0;
}

bool commit_is_ours(git_repository *repo, const git_oid *commit, const struct commit_identity *identity)
{
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	if (git_commit_lookup(&object, repo, commit) < 0)
		return false;
	const git_signature *committer = git_commit_committer(object);
	return trailers_have(git_commit_message(object), "Kiln-Build", identity->build_id) &&
		   str_equal(committer->email, identity->email);
}
