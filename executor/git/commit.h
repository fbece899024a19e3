/* The commit of a build: what the agent left in the workspace on top of its own commits, with the trailers that make it
 * recognisable. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/agent_commits.h"
#include "executor/git/workspace.h"

struct commit_identity {
	const char *name, *email; /* of the committer, and of the author where there is no other */
	const char *build_id;     /* trailer Kiln-Build */
	int64_t attempt;          /* trailer Kiln-Attempt */
	const char *message;      /* as asked for; Kiln-* trailers in it are dropped */
};

struct commit_made {
	bool changed; /* false: nothing to commit, `commit` is not set */
	git_oid commit;
	const char *unused; /* by commit_make: why the agent's commits are not below it, a constant; else NULL */
};

/* `base` (NULL = unborn) is the parent, `tree` what stage_all made. The agent's commits stay, without their Kiln-*
 * trailers; when the workspace has nothing beyond them, the last of them gets the trailers and the committer. Where
 * they are more than rewrite.h can handle, all of the workspace is one commit on `base`. */
int commit_make(struct workspace *workspace, const struct commit_identity *identity, const git_oid *base,
				const struct agent_commits *agent, const git_oid *tree, struct commit_made *ret_made,
				struct error *err) MUST_CHECK;

/* Puts the commits base..commit onto `onto`, one by one, or from picks_until_ms (clock_boot_ms) on as one commit.
 * ERR_CONFLICT names the files. `changed` is false when nothing of them is left. A single merge takes as long as it
 * takes: whoever must have an end calls this aside (executor/attempt/aside.h). */
int commit_rebase(struct workspace *workspace, const struct commit_identity *identity, const git_oid *base,
				  const git_oid *commit, const git_oid *onto, int64_t picks_until_ms, struct commit_made *ret_made,
				  struct error *err) MUST_CHECK;

/* A message for a build that was given none: the first line of its prompt that says something, at most 200 bytes of it;
 * "" when none does. Heap. */
char *commit_subject(const char *prompt);

/* What the build's own commits stand on, of which `commit` is the last: what its trailer Kiln-Base names, when that is
 * below it, else its first parent. What others have pushed before a rebase is below that. *ret_has false: they stand on
 * nothing. The trailer is there when the parent alone does not say it: when the agent has made commits of its own. */
int commit_base(git_repository *repo, const git_oid *commit, git_oid *ret_base, bool *ret_has,
				struct error *err) MUST_CHECK;

/* Whether the commit has this build's trailer and our committer. */
bool commit_is_ours(git_repository *repo, const git_oid *commit, const struct commit_identity *identity);
