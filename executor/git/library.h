/* libgit2, for everything on objects, trees, index, diff and commits (the network side is the git command line). One
 * thread only. */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* Once per process: no system or user configuration is read, owners of our own directories are not questioned. Aborts
 * when libgit2 cannot start. */
void git_library_init(void);

/* Fills err from libgit2's last error: "WHAT: message". A full disk is ERR_LIMIT, everything else `kind`. Returns -1.
 */
int git_library_error(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Whether libgit2's last error came from reading objects: a repository of ours is broken. */
bool git_library_error_is_corruption(void);

/* From 40 lower-case hex digits. ERR_INVALID. */
int git_oid_parse(const char *sha, git_oid *ret_oid, struct error *err) MUST_CHECK;
void git_oid_text(const git_oid *oid, char ret[GIT_OID_HEXSZ + 1]);

/* The blob without bytes: the closing mark of a fence. */
#define GIT_EMPTY_BLOB_SHA "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

DEFINE_CLEANUP(git_repository, git_repository_free)
DEFINE_CLEANUP(git_commit, git_commit_free)
DEFINE_CLEANUP(git_tree, git_tree_free)
DEFINE_CLEANUP(git_index, git_index_free)
DEFINE_CLEANUP(git_diff, git_diff_free)
DEFINE_CLEANUP(git_odb, git_odb_free)
DEFINE_CLEANUP(git_odb_object, git_odb_object_free)
DEFINE_CLEANUP(git_revwalk, git_revwalk_free)
DEFINE_CLEANUP(git_signature, git_signature_free)
DEFINE_CLEANUP(git_object, git_object_free)
DEFINE_CLEANUP(git_patch, git_patch_free)
