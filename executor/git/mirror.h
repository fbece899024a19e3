/*
 * The mirror: one bare repository per remote URL under STATE/mirrors, that keeps what was ever fetched, so that a
 * repository is cloned once. For every ref of the remote that we have fetched there is one ref of ours, set when all
 * its objects are there; "known" means that this ref stands at the wanted commit.
 *
 * Fetches are serialised by a lock on STATE/mirrors/KEY.lock. Nothing is ever pruned, since workspaces borrow its
 * objects. A mirror that turns out to be broken is moved away and made again by the next mirror_open.
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
	char *lock_path;
	git_repository *repo;
};

/* Opens it, made when absent or half-made. */
int mirror_open(const char *state_dir, const char *url, struct mirror *ret_mirror, struct error *err) MUST_CHECK;
void mirror_close(struct mirror *mirror);

/* Where the ref of the remote was when it was last fetched or pushed by us. False when unknown. */
bool mirror_knows(const struct mirror *mirror, const char *remote_ref, git_oid *ret_oid);

/* Makes `remote_ref` known and returns where it is; `wanted` is where the caller has seen it (the remote may have moved
 * on). Waits for the lock until the remote's time-out. ERR_INTERNAL: the mirror is broken: mirror_discard, then
 * mirror_open. */
int mirror_fetch(struct mirror *mirror, const struct git_remote *remote, const char *remote_ref, const char *wanted,
				 git_oid *ret_oid, struct error *err) MUST_CHECK;

/* Takes over a commit that we have published from the objects directory of the attempt. What fails is only slower next
 * time. */
void mirror_adopt(struct mirror *mirror, const char *objects_dir, const char *remote_ref, const git_oid *commit);

/* Moves a broken mirror to STATE/trash. */
int mirror_discard(struct mirror *mirror, const char *state_dir, struct error *err) MUST_CHECK;
