/*
 * The private place of one attempt, STATE/work/LEASE:
 *
 *   files/     the workspace: what the agent sees and changes, with a .git of its own that borrows the mirror's objects.
 *              Nothing in it is trusted.
 *   kiln.git/  our repository over the same files: our index, our objects, our configuration. The agent cannot reach it,
 *              and staging, committing and pushing never look at files/.git, except to import the agent's own commits
 *              (agent_commits.h).
 *   home/ tmp/ the agent's HOME and TMPDIR
 *   scratch/   HOME of our git commands, and ssh keys while such a command runs; empty while an agent runs
 *   mirror.git/ only in the place of a broken mirror (mirror.h)
 */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/library.h"
#include "executor/git/mirror.h"
#include "executor/git/tree_limits.h"

struct workspace {
	char *root, *files, *home, *tmp, *scratch, *git_dir;
	char *agent_config;   /* of files/.git */
	git_repository *repo; /* kiln.git with files/ as its working directory */
	bool torn;            /* it has objects without all that they refer to */
};

/* What can be done before there is an attempt: the directories, as STATE/spares/PID of this process. Each would cost a
 * build's start a fraction of a millisecond. `user_name` and `user_email` are what the agent's own commits are signed
 * with. A failure leaves nothing, and workspace_make does all of it. */
void workspace_make_ahead(const char *state_dir, const char *user_name, const char *user_email);
/* Makes the directories, from what was made ahead when that is there. What an earlier process of the same lease has
 * left in their place goes to the trash. */
int workspace_make(const char *state_dir, const char *lease_id, const char *user_name, const char *user_email,
				   struct workspace *ret_workspace, struct error *err) MUST_CHECK;
/* Opens kiln.git, borrowing from the mirror. Again after the mirror was replaced: files/ and kiln.git are made anew. */
int workspace_attach(struct workspace *workspace, const struct mirror *mirror, struct error *err) MUST_CHECK;
/* Fills files/ with the commit's tree, or changes it from another commit to this one. ERR_INTERNAL with *ret_corrupt
 * when objects cannot be read; ERR_INVALID when the tree is beyond the limits, or takes more memory than there is. */
int workspace_checkout(struct workspace *workspace, const git_oid *commit, const struct tree_limits *limits,
					   bool *ret_corrupt, struct error *err) MUST_CHECK;
/* Makes files/.git for the agent, with `branch` at `commit` (NULL = unborn) and the index of kiln.git. `objects` is
 * where the agent sees the mirror's objects. */
int workspace_hand_over(struct workspace *workspace, const char *objects, const char *branch, const git_oid *commit,
						struct error *err) MUST_CHECK;
/* Frees the struct; the directories stay (the daemon removes them). Accepts a zeroed struct. */
void workspace_release(struct workspace *workspace);
