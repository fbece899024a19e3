/*
 * The files of a workspace that globs name. The workspace is hostile and may even change meanwhile: the walk goes from
 * descriptor to descriptor, follows no symbolic link, opens no file at all, and is bounded in depth, time and memory
 * (the first paths in the order of their bytes are kept, however many there are). ".git" is skipped at any depth.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/artifacts/glob.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define FIND_MAX_GLOBS 64 /* as schemas/common.json has it */
#define FIND_MAX_DEPTH 64 /* folders in each other; each is a descriptor while it is walked */
#define FIND_MAX_PATH 1024

/* Why something that fits is not there. */
enum find_skip { FIND_LINK, FIND_SPECIAL, FIND_UNREADABLE, FIND_TOO_DEEP, FIND_LONG_PATH, FIND_NOT_UTF8 };

struct find {
	/* The caller's. */
	int root_fd;
	struct glob *const *globs;
	size_t globs_len;    /* at most FIND_MAX_GLOBS */
	size_t max;          /* files */
	int64_t deadline_ms; /* clock_boot_ms */
	bool (*stop)(void *ctx);
	void (*skipped)(void *ctx, const char *path, enum find_skip why); /* the path is any bytes */
	void *ctx;

	/* What was found. */
	char **paths; /* in the order of their bytes */
	size_t len;
	size_t fitting;            /* files, also those that are more than `max` */
	bool used[FIND_MAX_GLOBS]; /* whether the glob fits anything */
	bool late;                 /* the deadline passed, or `stop` said so: there may be more */
};

/* -1 when the root cannot be read. */
int find_files(struct find *find, struct error *err) MUST_CHECK;
void find_release(struct find *find);
