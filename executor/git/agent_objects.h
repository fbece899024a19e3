/*
 * The objects of the agent's repository, files/.git/objects, which are the agent's word: regular files in folders of
 * the workspace and nothing else, without alternates. What is a link, a FIFO or a device anywhere among them is not
 * opened at all: it may lead to another repository's mirror, or wait for ever.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"
#include "executor/git/library.h"
#include "executor/git/workspace.h"

/* 0; 1 = they cannot be used, and *ret_why, a constant, says why; -1 = our own failure. Packs are read by indexes of
 * our own (agent_packs.h), which go with the workspace; `remote` is for the command that makes them. Once for a
 * workspace. The agent's processes must be gone. */
int agent_objects_open(const struct workspace *workspace, const struct git_remote *remote, int files_fd,
					   git_odb **ret_odb, const char **ret_why, struct error *err) MUST_CHECK;

/* Whether a tree may have an entry of this name: none that leads elsewhere, and none that is .git to any file system
 * (as git's own fsck has it). */
bool agent_objects_name_is_safe(const char *name);
