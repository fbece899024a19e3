/*
 * Packing: what builds leave in a mirror one by one (objects that they made or fetched, a file for each branch) becomes
 * few files, for each fetch and each push opens what all refs lead to.
 *
 * Builds go on meanwhile and wait for nothing but the packing of refs, which is one small file. Nothing is ever pruned,
 * reached or not: an object is in its new pack before its old file goes. Who has that open, or mapped, keeps it. Who has
 * only read of it in an index looks, before he relies on it, whether the pack is still there, and then for the object
 * again: git does so, and libgit2 1.5 (git_pack_entry_find, then a refresh of all packs; test_mirror_pack.c).
 *
 * `git repack --geometric` takes the loose objects and the small packs, and leaves a pack alone that has twice as many
 * objects as all smaller ones: what a repository was cloned with is not written again, and a busy mirror has as many
 * packs as the logarithm of its objects. Killed at any point it leaves the old files, the new ones, or both, half-written
 * ones by names that nobody reads, and packs without their index, which nobody reads either (mirror_sweep.h).
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"

/* From how many on they are packed. */
#define MIRROR_MANY_LOOSE 500
#define MIRROR_MANY_PACKS 30
#define MIRROR_MANY_REFS 200

struct mirror_files {
	int64_t loose, packs, refs; /* loose objects; packs; refs in files of their own */
	int64_t bytes;              /* of objects and packs */
};

/* Reads 258 directories, and how large files are; opens none. */
void mirror_count_files(const char *path, struct mirror_files *ret);

/* Refs first, for builds wait for them: not by a process that is nice. */
enum mirror_part {
	MIRROR_REFS,
	MIRROR_OBJECTS, /* after which the mirror counts as looked at */
};

/* Packs a part of the mirror if it was used since it was last looked at, and has too many files. 1: it is done; 0: there
 * was nothing to do, or somebody else is at it, or moves the mirror, or a lock cannot be had; also, and then it counts as
 * looked at, when the disk has no room for twice what is there. -1: it cannot be packed, and counts as looked at for an
 * hour, for a day after ERR_TIMEOUT of objects; ERR_CANCELLED: `here` was interrupted, and it counts as not looked at.
 * `here` is a git_remote without a URL, whose scratch_dir, lock_fd, interruption and timeout_ms, for objects, are the
 * caller's; refs take eleven seconds at most. As for git_command: the one thread of a process that is a subreaper. */
int mirror_pack(const char *path, const struct git_remote *here, enum mirror_part part, struct mirror_files *ret_before,
				struct error *err) MUST_CHECK;
