/*
 * Strict JSON: RFC 8259 by cJSON, with what Kiln refuses on top (docs/contract.md): invalid UTF-8, U+0000 (raw or
 * escaped), lone surrogates, duplicate keys, nesting over 32, trailing bytes, numbers outside of double. Keys compare
 * case-sensitively.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* The look-up that ignores case is banned (a key "Prompt" is not "prompt"). */
#pragma GCC poison cJSON_GetObjectItem

#define JSON_MAX_DEPTH 32

/* What `len` bytes that json_parse takes come to at most when their tree is written: `1e20` has 21 digits then. */
#define JSON_WRITTEN_MAX(len) (6 * (size_t)(len) + 64)

/* A tree to be freed with cJSON_Delete. ERR_INVALID with the byte offset and what is wrong, for instance
 * `byte 17: duplicate key "prompt"`. `data` need not be NUL-terminated. */
int json_parse(const char *data, size_t len, cJSON **ret_tree, struct error *err) MUST_CHECK;
DEFINE_CLEANUP(cJSON, cJSON_Delete)

/* Looks into an object; NULL when `object` is NULL, no object, or lacks the key. */
const cJSON *json_get(const cJSON *object, const char *key);
/* The value's text, or NULL when absent or no string. */
const char *json_get_string(const cJSON *object, const char *key);
/* A UUID in canonical form; absent or anything else: NULL. */
const char *json_get_uuid(const cJSON *object, const char *key);
/* Absent, no number or no integer within ±2^53: fallback. */
int64_t json_get_int(const cJSON *object, const char *key, int64_t fallback);
bool json_get_bool(const cJSON *object, const char *key, bool fallback);

/*
 * A writer of compact JSON into a buffer: commas and escapes are its business, order is the caller's. Nesting errors
 * abort (CHECK). Text is written as UTF-8 with the minimal escapes of RFC 8785, so that a caller who adds keys in
 * sorted order writes canonical JSON. Invalid UTF-8 and NUL in it become U+FFFD; numbers that are not finite become
 * null: the output is always what json_parse takes. At most 64 levels. Keys are C strings; `key` is NULL inside arrays
 * and at the top.
 */
struct json_writer {
	struct buffer *buf; /* the caller's */
	unsigned depth;
	uint64_t objects; /* a bit per open level, 1 = object: what lets a nesting error be seen */
	bool need_comma;
};

void json_writer_init(struct json_writer *w, struct buffer *buf);
void json_object_begin(struct json_writer *w, const char *key);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w, const char *key);
void json_array_end(struct json_writer *w);
void json_string(struct json_writer *w, const char *key, const char *text); /* NULL text → null */
void json_string_len(struct json_writer *w, const char *key, const char *text, size_t len);
void json_int(struct json_writer *w, const char *key, int64_t value);
void json_double(struct json_writer *w, const char *key, double value); /* ECMAScript's shortest form, as RFC 8785 */
void json_bool(struct json_writer *w, const char *key, bool value);
void json_null(struct json_writer *w, const char *key);
/* `json` is inserted as it is: one valid JSON value. NULL → null. */
void json_raw(struct json_writer *w, const char *key, const char *json);
void json_raw_len(struct json_writer *w, const char *key, const char *json, size_t len);
/* A cJSON tree, in its own order. NULL → null. */
void json_tree(struct json_writer *w, const char *key, const cJSON *tree);

/* Appends RFC 8785 (JCS): keys sorted by UTF-16 code units, shortest numbers, minimal escapes. -1 when the buffer is
 * full. */
int json_canonical(struct buffer *buf, const cJSON *tree) MUST_CHECK;
