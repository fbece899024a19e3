/* Commits made anew: one with given parts, or a whole range without forged trailers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/commit.h"
#include "executor/git/library.h"

#define COMMIT_MAX_PARENTS 16

struct new_commit {
	const git_signature *author, *committer;
	const char *message;
	git_oid tree;
	git_oid parents[COMMIT_MAX_PARENTS];
	size_t parents_len;
};

int rewrite_commit(git_repository *repo, const struct new_commit *commit, git_oid *ret_commit,
				   struct error *err) MUST_CHECK;

/* A message without foreign Kiln-* trailers and, with an identity, with ours, and a subject if it had none. `base_sha`
 * (NULL: none) is for the trailer Kiln-Base: see commit_base. Heap. */
char *rewrite_message(const char *message, const struct commit_identity *identity, const char *base_sha);

/* What Kiln-Base of a commit with these parents is to say, when the build's commits stand on `base` (NULL: on nothing):
 * NULL when the only parent says it. Writes into `text`. */
const char *rewrite_base(const git_oid *base, const git_oid *parents, size_t parents_len, char text[GIT_OID_HEXSZ + 1]);

/* Commits of base..tip, oldest first (base NULL: all of them). Heap: free it. 0; 1 = there are more than 10,000; -1. */
int rewrite_list(git_repository *repo, const git_oid *base, const git_oid *tip, git_oid **ret_commits, size_t *ret_len,
				 struct error *err) MUST_CHECK;

/* Strips Kiln-* trailers from base..tip; with `sign_tip` the last commit gets ours and our committer. Commits that need
 * no change keep their ids. 0; 1 = that cannot be done with these commits, *ret_why is a constant; -1 = our own
 * failure.
 */
int rewrite_history(git_repository *repo, const struct commit_identity *identity, const git_oid *base,
					const git_oid *tip, bool sign_tip, git_oid *ret_tip, const char **ret_why,
					struct error *err) MUST_CHECK;
