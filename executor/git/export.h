/* Commits as files that git reads: for work that is in no remote. Both end at their limits: ERR_LIMIT, ERR_TIMEOUT,
 * ERR_CANCELLED. A full disk is ERR_UNAVAILABLE. */
#pragma once

#include "common/artifacts/artifact_store.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/library.h"

/* A bundle (gitformat-bundle(5), version 2) of base..commit, in which `ref` is the commit. It needs `base` where it is
 * fetched; NULL: it has all that it needs. `fd` is written from its position on. */
int export_bundle(git_repository *repo, const git_oid *base, const git_oid *commit, const char *ref, int fd,
				  const struct artifact_limits *limits, struct error *err) MUST_CHECK;

/* What the commit changes against `base` (NULL: nothing is there) as one patch for `git apply`, binary files included.
 */
int export_patch(git_repository *repo, const git_oid *base, const git_oid *commit, int fd,
				 const struct artifact_limits *limits, struct error *err) MUST_CHECK;
