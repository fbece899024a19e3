/* Everything that the agent changed, as a tree: like `git add -A`, with our index and configuration, respecting
 * .gitignore. */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/workspace.h"

/* Called for each path that cannot be part of a commit (a nested repository, an unreadable file): it is left out. */
typedef void stage_left_out(void *ctx, const char *path, const char *why);

/* The agent's processes must be gone. */
int stage_all(struct workspace *workspace, stage_left_out *left_out, void *ctx, git_oid *ret_tree,
			  struct error *err) MUST_CHECK;
