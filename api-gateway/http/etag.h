/*
 * Entity tags (RFC 9110 section 8.8.3) and the lists of them in If-Match and If-None-Match. A project's tag is made of
 * its version and its id, since a name in a path may be another project's by now; an artifact's is its SHA-256;
 * everything else that is read has a tag made of the answer's bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define ETAG_SIZE 68 /* an artifact's is a SHA-256 */

/* `id`: a UUID. */
void etag_of_project(const char *id, int64_t version, char ret[ETAG_SIZE]);
/* The same bytes have the same tag, at any gateway; others have another. */
void etag_of_bytes(const void *data, size_t len, char ret[ETAG_SIZE]);

enum etag_comparison {
	ETAG_STRONG, /* If-Match: weak tags never match (section 13.1.1) */
	ETAG_WEAK,   /* If-None-Match: W/ says nothing (section 13.1.2) */
};

/* Whether the field's value (a list of tags, or *) has `etag`, which is a strong one. ERR_INVALID: no such list. */
int etag_list_has(const char *value, size_t len, const char *etag, enum etag_comparison comparison, bool *ret_has,
				  struct error *err) MUST_CHECK;
