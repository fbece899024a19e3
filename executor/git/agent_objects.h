/*
 * The objects of the agent's repository, files/.git/objects, which are the agent's word: regular files in folders of
 * the workspace and nothing else, without alternates. What is a link, a FIFO or a device anywhere among them is not
 * opened at all: it may lead to another repository's mirror, or wait for ever.
 */
#pragma once

#include "common/base/compiler.h"
#include "executor/git/library.h"
#include "executor/git/workspace.h"

/* Opens below the workspace without following any link; FIFOs and devices do not block. -1 with errno. */
int agent_open_plain(int files_fd, const char *path, int flags);

/* NULL when they cannot be used; `ret_why` (untouched else) says why, a constant. The agent's processes must be gone.
 */
git_odb *agent_objects_open(const struct workspace *workspace, int files_fd, const char **ret_why) MUST_CHECK;

/* Whether a tree may have an entry of this name: none that leads elsewhere, and none that is .git to any file system
 * (as git's own fsck has it). */
bool agent_objects_name_is_safe(const char *name);
