/*
 * A growable byte buffer with a maximum.
 *
 * Invariants: `data` is never NULL after init; data[len] is always NUL, so data is a C string as long as no NUL byte
 * was appended; len <= max. An append that would pass `max` appends nothing, sets `overflowed` and returns -1; every
 * later append fails too until buffer_clear. Callers may append many times and check `buffer_ok` once at the end.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"

struct buffer {
	char *data;
	size_t len;
	size_t size; /* allocated */
	size_t max;
	bool overflowed;
};

/* No allocation until the first append. max in bytes, > 0. */
void buffer_init(struct buffer *buf, size_t max);
/* Frees the content; the buffer may be used again after buffer_init only. Accepts a zeroed struct. */
void buffer_release(struct buffer *buf);
/* Empties it and forgets an overflow; keeps the memory. */
void buffer_clear(struct buffer *buf);

/* 0, or -1 when the maximum was reached. */
int buffer_append(struct buffer *buf, const void *data, size_t len);
int buffer_append_str(struct buffer *buf, const char *text);
static inline int buffer_append_char(struct buffer *buf, char c);
int buffer_appendf(struct buffer *buf, const char *format, ...) PRINTF_LIKE(2, 3);
int buffer_vappendf(struct buffer *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* buffer_reserve's, when there is no room. */
char *buffer_grow(struct buffer *buf, size_t len) MUST_CHECK;
/* Room for `len` more bytes at data + buf->len (to read(2) into); NULL when that passes the maximum (no overflow is
 * noted). buffer_commit then adds what was written. */
static inline char *buffer_reserve(struct buffer *buf, size_t len)
{
	return len < buf->size - buf->len && !buf->overflowed ? buf->data + buf->len : buffer_grow(buf, len);
}
static inline void buffer_commit(struct buffer *buf, size_t len)
{
	if (len == 0)
		return;
	CHECK(len < buf->size - buf->len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

static inline int buffer_append_char(struct buffer *buf, char c)
{
	char *at = buffer_reserve(buf, 1);
	if (at == NULL)
		return buffer_append(buf, &c, 1);
	*at = c;
	buffer_commit(buf, 1);
	return 0;
}

/* Removes the first n bytes (n <= len). */
void buffer_consume(struct buffer *buf, size_t n);
void buffer_truncate(struct buffer *buf, size_t len);

static inline bool buffer_ok(const struct buffer *buf)
{
	return !buf->overflowed;
}

/* The text; NULL when there is none. */
static inline char *buffer_or_null(const struct buffer *buf)
{
	return buf->len > 0 ? buf->data : NULL;
}

/* Hands over the allocated, NUL-terminated bytes (free() them); the buffer is empty afterwards. Never NULL. */
char *buffer_detach(struct buffer *buf, size_t *ret_len);

static inline void buffer_release_p(struct buffer *buf)
{
	buffer_release(buf);
}
