/* Bounded text: comparison, numbers, splitting, encoding. Functions with a `len` take any bytes and never read
 * past it; texts without one end with NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

bool str_equal(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);

/* Whole-string decimal parse within [min, max]; anything else (sign, blank, overflow, empty) is ERR_INVALID.
 * A leading '-' is taken when min < 0. */
int str_parse_int(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret_value,
				  struct error *err) MUST_CHECK;

/* "true/false/1/0/yes/no/on/off" → bool. */
int str_parse_bool(const char *text, bool *ret_value, struct error *err) MUST_CHECK;

/* Valid UTF-8 by RFC 3629 (no surrogates, no overlong forms, ≤ U+10FFFF). NUL is valid here. */
bool str_is_utf8(const char *text, size_t len);
/* Appends `text` with every invalid sequence replaced by U+FFFD and NUL by U+FFFD too. */
int str_append_utf8_lossy(struct buffer *buf, const char *text, size_t len);

/* Compares in time that depends on the length only. */
bool str_equal_constant_time(const void *a, const void *b, size_t len);

/* Matches [a-z0-9][a-z0-9-]{0,62}. */
bool str_is_name(const char *text, size_t len);
/* Hexadecimal digits only, none of them a capital. */
bool str_is_hex(const char *text, size_t len);
/* The name of a git object: 40 or 64 such digits. */
bool str_is_sha(const char *text, size_t len);

/* Splits at `separator`, trims blanks, drops empty parts: calls `each` for every part until it returns non-zero,
 * which is then returned; else 0. */
int str_split(const char *text, char separator, int (*each)(void *ctx, const char *part, size_t len), void *ctx);

/* A NULL-terminated, heap-allocated list of strings; free with strv_free. */
char **strv_split(const char *text, char separator);
size_t strv_len(char *const *list);
bool strv_contains(char *const *list, const char *text);
void strv_free(char **list);
DEFINE_CLEANUP(char *, strv_free)

/* 0 to 15; -1: none. */
int hex_digit(char c);
/* Lower-case hex; `ret` has room for 2 * len + 1. */
void hex_encode(const void *data, size_t len, char *ret);
/* Exactly len * 2 hex digits. */
int hex_decode(const char *text, size_t text_len, void *ret, size_t len) MUST_CHECK;

/* RFC 4648: standard alphabet with padding, and url-safe without. */
int base64_append(struct buffer *buf, const void *data, size_t len);
int base64url_append(struct buffer *buf, const void *data, size_t len);
/* Standard alphabet; padding optional. ERR_INVALID on anything else. */
int base64_decode(struct buffer *ret, const char *text, size_t len, struct error *err) MUST_CHECK;
/* The url-safe alphabet without padding: one spelling only. */
int base64url_decode(struct buffer *ret, const char *text, size_t len, struct error *err) MUST_CHECK;
/* Percent-decoding of a path segment or (plus_is_space) query value. ERR_INVALID for bad escapes, NUL bytes and invalid
 * UTF-8. */
int url_decode(struct buffer *ret, const char *text, size_t len, bool plus_is_space, struct error *err) MUST_CHECK;
/* Percent-encodes everything but RFC 3986 unreserved characters. */
int url_encode(struct buffer *ret, const char *text, size_t len);
