/*
 * How much a checkout of a tree would be, found before anything of it is made: a tree may have one other tree in many
 * places, so that a few kilobytes of objects are more files than any disk has.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/library.h"

struct tree_limits {
	int64_t files; /* and folders */
	int64_t bytes; /* of all files */
	int depth;     /* of folders in folders */
};

/* 0; 1 = it is beyond a limit, and err (ERR_INVALID) says which; -1 = libgit2 has failed, and its last error says why.
 * Looks at no more than the limits allow. */
int tree_limits_check(git_repository *repo, const git_oid *tree, const struct tree_limits *limits,
					  struct error *err) MUST_CHECK;
