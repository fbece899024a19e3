/*
 * The agent's own commits. files/.git is the agent's word: its configuration, hooks, alternates and links are not
 * followed. HEAD is read as text; the objects it leads to are copied one by one into kiln.git under the ids that their
 * content has, as far as kiln.git (with the mirror) does not have them already.
 */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"
#include "executor/git/workspace.h"

struct agent_commits {
	bool found;       /* there are commits on top of base */
	git_oid tip;      /* when found; in kiln.git */
	char notice[256]; /* why commits that are there cannot be used (the workspace then goes into one commit); "" =
						 nothing to say */
};

/* `base` is where the attempt started (NULL = unborn). Once for a workspace. Fails only for reasons of our own (disk
 * full), and with ERR_CANCELLED. */
int agent_commits_import(struct workspace *workspace, const struct git_remote *remote, const git_oid *base,
						 struct agent_commits *ret_commits, struct error *err) MUST_CHECK;
