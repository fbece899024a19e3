/*
 * The port for where artifacts are kept: contents by their SHA-256, put by executors, read by gateways. What a content
 * is called, and whose it is, only builds' results know. One adapter a file (directory.c). Any thread, any number of
 * processes at once.
 *
 * A content is whole when it can be found, and never changes. It goes when nobody has put it for long enough
 * (remove_old): one that is put again lives anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define ARTIFACT_SHA256_SIZE 65 /* hex, with the NUL */

struct artifact_content {
	char sha256[ARTIFACT_SHA256_SIZE];
	int64_t size;
};

/* How far a put may go. */
struct artifact_limits {
	int64_t max_bytes;
	int64_t deadline_ms; /* clock_boot_ms */
	/* Asked now and then; true ends it (ERR_CANCELLED). NULL: never asked. */
	bool (*stop)(void *ctx);
	void *ctx;
};

struct artifact_store;

/* A content that is being read. */
struct artifact_blob {
	struct artifact_store *store;
	int64_t size;
	int fd; /* the adapter's */
};

struct artifact_store {
	/* Keeps what `source_fd` has from its position to its end. Size and hash are those of the bytes that were kept,
	 * whatever happens to the source meanwhile. ERR_LIMIT when there are more than max_bytes, ERR_TIMEOUT,
	 * ERR_CANCELLED; ERR_UNAVAILABLE when the source can be read but the store cannot take it, with errno. */
	int (*put)(struct artifact_store *store, int source_fd, const struct artifact_limits *limits,
			   struct artifact_content *ret, struct error *err);
	/* ERR_NOT_FOUND when it was never there or is no more; ERR_INVALID when `sha256` is none. Close with blob_close. */
	int (*open)(struct artifact_store *store, const char *sha256, struct artifact_blob *ret_blob, struct error *err);
	/* Up to `len` bytes at `offset`; *ret_len 0 is the end. What was opened can be read to its end even if it is
	 * removed meanwhile. */
	int (*read)(const struct artifact_blob *blob, int64_t offset, void *data, size_t len, size_t *ret_len,
				struct error *err);
	void (*close)(struct artifact_blob *blob);
	/* Removes what was last put before `before_s` (seconds since 1970), and what broken puts have left. `stop` is asked
	 * between contents (NULL: never). Several may run at once. */
	int (*remove_old)(struct artifact_store *store, int64_t before_s, bool (*stop)(void *ctx), void *ctx,
					  int64_t *ret_removed, struct error *err);
	void (*free)(struct artifact_store *store);
};

static inline void artifact_store_free(struct artifact_store *store)
{
	if (store != NULL)
		store->free(store);
}
DEFINE_CLEANUP(struct artifact_store, artifact_store_free)

/* The adapter `directory`: files below `path` (absolute, there), which executors and gateways share. It makes its own
 * folders at the first put. ERR_NOT_FOUND, or what is wrong with the path. */
int artifact_directory_new(const char *path, struct artifact_store **ret_store, struct error *err) MUST_CHECK;
/* Could it be made? A config_option's check. */
int artifact_directory_check(const char *path, struct error *err) MUST_CHECK;
