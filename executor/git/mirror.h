/*
 * The mirror: one bare repository per remote URL under STATE/mirrors, that keeps what was ever fetched, so that a
 * repository is cloned once. For every ref of the remote that we have fetched there is one ref of ours, set when all
 * its objects are there; "known" means that this ref stands at the wanted commit. All fences share one.
 *
 * Fetches are serialised by a lock. Nothing in it is ever pruned, since workspaces borrow its objects; what has come one
 * by one is packed by another process meanwhile (mirror_pack.h). For workspaces' sake too who has it open holds a lock
 * (mirror_lock.h), without which it goes as a whole: when it was not used for long (daemon/mirrors.h), or when it turns
 * out to be broken, and is made anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/library.h"
#include "executor/git/remote.h"

struct mirror {
	char *path;    /* of the bare repository */
	char *objects; /* its objects directory */
	git_repository *repo;
	int use_fd;            /* keeps it where it is */
	const char *state_dir; /* the caller's */
	char *own_path;
};

/* Opens it, made when absent or half-made. `own_path` is for one that is this attempt's alone, in the place of one that
 * is broken while others borrow from it. `state_dir` outlives it. */
int mirror_open(const char *state_dir, const char *own_path, const char *url, struct mirror *ret_mirror,
				struct error *err) MUST_CHECK;
/* An empty one instead of one that turned out to be broken: path and objects may be others then. Failed: only
 * mirror_close may follow. */
int mirror_renew(struct mirror *mirror, struct error *err) MUST_CHECK;
void mirror_close(struct mirror *mirror);

/* Calls `take` with the path of each mirror, in no order, as long as it returns true: MIRRORS_MAX of them at most. */
#define MIRRORS_MAX 65536
void mirror_each(const char *state_dir, bool (*take)(void *ctx, const char *path), void *ctx);

/* Where the ref of the remote was when it was last fetched or pushed by us. False when unknown. */
bool mirror_knows(const struct mirror *mirror, const char *remote_ref, git_oid *ret_oid);

/* Makes `remote_ref` known and returns where it is; `wanted` is where the caller has seen it (the remote may have moved
 * on). Waits for the lock until the remote's time-out. ERR_INTERNAL: the mirror is broken: mirror_renew. */
int mirror_fetch(struct mirror *mirror, const struct git_remote *remote, const char *remote_ref, const char *wanted,
				 git_oid *ret_oid, struct error *err) MUST_CHECK;

/* Takes over a commit that we have published from the objects directory of the attempt, and all else that is there: an
 * object that the mirror has counts as one whose parts it has, too (agent_commits.h), so what is torn (workspace.h) must
 * not come in. Waits for a fetch for a moment only. What fails is only slower next time. */
void mirror_adopt(struct mirror *mirror, const char *objects_dir, const char *remote_ref, const git_oid *commit);
