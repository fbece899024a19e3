/*
 * Artifacts: from a workspace and the globs of a build to contents in the store and a list for the result. What is
 * named and cannot be kept is left out and told, in the list and in the log; it fails nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "executor/artifacts/find.h"
#include "executor/artifacts/list.h"

/* Kiln's own artifacts; files of a workspace by these names are left out. */
#define ARTIFACT_COMMIT_BUNDLE "kiln/commit.bundle"
#define ARTIFACT_WORK_PATCH "kiln/work.patch"

struct collect {
	/* Keeps a content, as artifact_store's `put` does. */
	int (*put)(void *ctx, int source_fd, const struct artifact_limits *limits, struct artifact_content *ret,
			   struct error *err);
	const char *files; /* the workspace */
	struct glob *const *globs;
	size_t globs_len;
	size_t max_files;
	int64_t max_file_bytes, max_bytes;
	int64_t deadline_ms;                      /* clock_boot_ms, for finding and copying */
	bool (*stop)(void *ctx);                  /* asked often: the build was cancelled */
	void (*say)(void *ctx, const char *line); /* a line for the log */
	void *ctx;
};

/* Adds to `list`. */
void collect_artifacts(const struct collect *collect, struct artifact_list *list);

/* One file of Kiln's own under this name. What the globs have taken leaves its place in the list and its bytes: it has
 * max_file_bytes for itself. When it cannot be kept that is told as ever, but for a cancel, and is an error. */
int collect_own(const struct collect *collect, int fd, const char *path, struct artifact_list *list,
				struct error *err) MUST_CHECK;

/* The `reason` in a result (schemas/build-result.json) of what could not be kept. */
const char *collect_reason(const struct error *err);
