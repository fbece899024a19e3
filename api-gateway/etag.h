/* ETags are the version of a project in quotes; If-Match compares strongly (RFC 9110 section 13.1.1). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define ETAG_SIZE 24

void etag_format(int64_t version, char ret[ETAG_SIZE]);
/* Whether If-Match's value (a list of tags, or *) names this version. Weak tags never match. ERR_INVALID: no such list.
 */
int etag_matches(const char *value, size_t len, int64_t version, bool *ret_matches, struct error *err) MUST_CHECK;
