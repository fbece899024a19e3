/* Everything that the agent changed, as a tree: like `git add -A`, with our index and configuration, respecting
 * .gitignore. What the agent has committed is in the index, as it is in its own: an ignored file that it added by force
 * stays, and so does the commit of a submodule. */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/tree_limits.h"
#include "executor/git/workspace.h"

/* Called for each path that cannot be part of a commit (a nested repository, an unreadable file): it is left out. */
typedef void stage_left_out(void *ctx, const char *path, const char *why);

/* Where stage_all begins instead of at what was checked out: the agent's last commit. 0; 1 = its tree cannot be an
 * index, and err says why: nothing is changed; -1. */
int stage_begin_at(struct workspace *workspace, const git_oid *commit, const struct tree_limits *limits,
				   struct error *err) MUST_CHECK;

/* The agent's processes must be gone. */
int stage_all(struct workspace *workspace, stage_left_out *left_out, void *ctx, git_oid *ret_tree,
			  struct error *err) MUST_CHECK;
