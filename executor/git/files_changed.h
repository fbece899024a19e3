/* What a build changed, as BuildResult's files_changed. */
#pragma once

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/library.h"

/* Appends a JSON array `[{path, status, added, deleted}]` of the difference between two trees (from NULL: the empty
 * one). At most 5,000 entries and 1 MiB: *ret_total says how many there are. Paths that are not UTF-8 are made so. */
int files_changed_json(git_repository *repo, const git_oid *from_tree, const git_oid *to_tree, struct buffer *out,
					   size_t *ret_total, size_t *ret_listed, struct error *err) MUST_CHECK;
