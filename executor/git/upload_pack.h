/*
 * A few of a remote's refs, asked of its git-upload-pack by the short way (smart_http.h). What that cannot do is left
 * to git (remote.h).
 */
#pragma once

#include "executor/git/command.h"
#include "executor/git/smart_http.h"

/* Asks for HEAD, the branches whose names begin with `branch`, and the fence. NULL: git has to. Else
 * upload_pack_take_refs must follow. */
struct smart_http *upload_pack_ask_refs(const struct git_remote *remote, const char *branch, const char *fence_ref,
										int64_t deadline_ms) MUST_CHECK;
/* 1: on_line has had lines as those of `git ls-remote --symref`, where HEAD is a symbolic ref also one of the branch
 * that it leads to. 0: git has to. -1: ERR_CANCELLED. `asked` is gone. */
int upload_pack_take_refs(struct smart_http *asked, git_line *on_line, void *ctx, struct error *err) MUST_CHECK;
