/*
 * Cursors of lists: opaque to clients, base64url of one kind letter and the last item's sort key. A cursor of one list
 * is refused by another, and anything that this gateway did not write is refused too (the parts are checked, not
 * signed: a forged cursor shows nothing that the list does not).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"

#define CURSOR_MAX 256    /* characters of the encoded form */
#define CURSOR_TAG_SIZE 9 /* hex digits, and a NUL */

enum cursor_kind {
	CURSOR_BUILDS = 'b',
	CURSOR_PROJECTS = 'p',
	CURSOR_TOKENS = 'k',
	CURSOR_TEMPLATES = 't', /* by name */
	CURSOR_WORKERS = 'w',   /* by id */
	CURSOR_QUEUE = 'q',     /* by line */
	CURSOR_EVENTS = 'e',    /* by sequence */
	CURSOR_LOGS = 'l',      /* by sequence */
	CURSOR_AUDIT = 'a',
};

/* (created_at, id): what lists of builds, projects and tokens are ordered by. */
struct cursor_place {
	char created_at[CLOCK_RFC3339_SIZE];
	char id[UUID_TEXT_SIZE];
};

/* What the queue is ordered by: a project and the hash of a class. */
#define CURSOR_LINE_KEY_SIZE 33 /* 32 hex digits */
struct cursor_line {
	char name[64];
	char key[CURSOR_LINE_KEY_SIZE];
};

int cursor_append_place(struct buffer *buf, enum cursor_kind kind, const char *created_at, const char *id);
int cursor_append_name(struct buffer *buf, enum cursor_kind kind, const char *name);
int cursor_append_line(struct buffer *buf, enum cursor_kind kind, const char *name, const char *key);
int cursor_append_sequence(struct buffer *buf, enum cursor_kind kind, int64_t sequence);

/* ERR_INVALID. */
int cursor_read_place(const char *text, enum cursor_kind kind, struct cursor_place *ret, struct error *err) MUST_CHECK;
int cursor_read_name(const char *text, enum cursor_kind kind, char ret[64], struct error *err) MUST_CHECK;
int cursor_read_line(const char *text, enum cursor_kind kind, struct cursor_line *ret, struct error *err) MUST_CHECK;
int cursor_read_sequence(const char *text, enum cursor_kind kind, int64_t *ret, struct error *err) MUST_CHECK;

/* Where one route has several lists, a cursor ends in the tag of its own: what names the list, hashed (its filters, or
 * the build that it is of). Appended to a finished cursor, and taken off `text` before it is read. ERR_INVALID: no tag,
 * or another one. */
void cursor_tag(const void *name, size_t len, char ret[CURSOR_TAG_SIZE]);
int cursor_append_tag(struct buffer *buf, const char *tag);
int cursor_take_tag(char *text, const char *tag, struct error *err) MUST_CHECK;
