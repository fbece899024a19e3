/*
 * The packs of the agent's repository. Their indexes are the agent's word too, and what they lead to may have itself as
 * its base, which libgit2 would follow for ever: so git makes an index of its own for each pack, which fails for a
 * delta without an end, and only that index is read.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"
#include "executor/git/workspace.h"

/* Takes the descriptor. Every pack of `pack_fd` (files/.git/objects/pack, regular files only) becomes one of `objects`
 * (made by this, absolute; not the agent's), as a link with our index beside it. 0; 1 = unusable, *ret_why is a
 * constant; -1 = our own failure.
 */
int agent_packs_index(const struct workspace *workspace, const struct git_remote *remote, int pack_fd,
					  const char *objects, const char **ret_why, struct error *err) MUST_CHECK;
