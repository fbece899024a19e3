/* Range (RFC 9110 section 14.2) of bytes: one range, of what has a known size. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum range {
	RANGE_NONE,  /* the whole: another unit, several ranges, or no range at all; a server may ignore those */
	RANGE_ONE,   /* 206 */
	RANGE_NEVER, /* 416: it begins after the end */
};

/* Of RANGE_ONE, where it begins, and how long it is (at least 1). */
enum range range_read(const char *value, size_t len, int64_t size, int64_t *ret_first, int64_t *ret_len);
