/*
 * Reads a JSON text that comes in pieces and is not kept: copies the values of a few keys of the outermost object as
 * they are written, each up to a limit, and skips everything else at the speed of memchr. It is no validator: what it
 * passes is still for somebody else to parse. But of a valid text it reads what every parser reads: a wanted key that
 * comes twice or in other letters (some parsers do not mind capitals), a key of the outermost object that is written
 * with escapes, or a byte outside of strings that JSON does not have (UTF-16) is told, not guessed about.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

#define JSON_SCAN_KEYS 4
#define JSON_SCAN_KEY_BYTES 32 /* longer keys are none that anybody wants */

struct json_scan_key {
	const char *name;
	size_t max_bytes; /* of its value; a longer one is as good as none */
};

struct json_scan {
	const struct json_scan_key *keys; /* static */
	size_t keys_len;
	struct buffer values[JSON_SCAN_KEYS]; /* raw JSON; not buffer_ok: too long */
	bool seen[JSON_SCAN_KEYS];
	bool odd;  /* a key twice, an escaped one, one in other letters, or no UTF-8 */
	bool done; /* the outermost object has ended */
	bool none; /* it is no object */

	/* Where it is. */
	size_t depth;
	bool in_string, escaped, in_key, wants_key;
	char key[JSON_SCAN_KEY_BYTES];
	size_t key_len;
	int current; /* the value that is copied, -1 = none */
};

void json_scan_init(struct json_scan *scan, const struct json_scan_key *keys, size_t keys_len);
void json_scan_release(struct json_scan *scan);
/* For the next text; keeps memory. */
void json_scan_reset(struct json_scan *scan);
void json_scan_add(struct json_scan *scan, const char *data, size_t len);
/* The value of the key with this index as it was written, NULL when there is none or it was too long. */
const char *json_scan_value(const struct json_scan *scan, size_t key, size_t *ret_len);
