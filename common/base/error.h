/*
 * The one error convention.
 *
 * A function that can fail returns 0, or -1 with *err filled (err is never NULL):
 *
 *     if (thing_open(path, &thing, err) < 0)
 *         return -1;
 *     return error_set(err, ERR_INVALID, "%s: not a thing", path);
 *
 * The message is for people (one line, no trailing newline, no secrets); `kind` is what code may branch on.
 */
#pragma once

#include "common/base/compiler.h"

enum error_kind {
	ERR_NONE = 0,
	ERR_INVALID,     /* the input is wrong; trying again will not help */
	ERR_NOT_FOUND,   /* the named thing does not exist */
	ERR_CONFLICT,    /* it exists already, or has changed meanwhile */
	ERR_DENIED,      /* not allowed: credentials, address guard, permissions */
	ERR_LIMIT,       /* a size, count or rate limit was reached */
	ERR_TIMEOUT,     /* the deadline passed; nothing is known to have happened */
	ERR_UNAVAILABLE, /* a dependency is away; trying again later may help; it did not happen */
	ERR_UNKNOWN,     /* fate unknown: it may or may not have happened */
	ERR_CANCELLED,   /* asked to stop */
	ERR_INTERNAL,    /* everything else: a bug, a disk error */
};

struct error {
	enum error_kind kind;
	int sys_errno;    /* errno of the failing call, 0 when there is none */
	char sqlstate[6]; /* five characters from Postgres, or "" */
	char message[512];
};

/* clang-format off */
#define ERROR_INIT {.kind = ERR_NONE}
/* clang-format on */

static inline int error_result(void)
{
	return -1;
}

/* Fills *err and returns -1. The three are macros, so that the compiler sees the -1: it then knows which paths leave
 * the out-parameters untouched. */
#define error_set(...) (error_fill(__VA_ARGS__), error_result())
#define error_set_errno(...) (error_fill_errno(__VA_ARGS__), error_result())
#define error_prefix(...) (error_fill_prefix(__VA_ARGS__), error_result())

/* error_set(err, kind, format, …) */
void error_fill(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* error_set_errno(err, errnum, format, …): the same from errno: appends ": strerror" and keeps sys_errno. ENOENT →
 * NOT_FOUND, EACCES/EPERM → DENIED, ENOSPC/EDQUOT/EMFILE → LIMIT, anything else → INTERNAL. */
void error_fill_errno(struct error *err, int errnum, const char *format, ...) PRINTF_LIKE(3, 4);

/* error_prefix(err, format, …): puts "prefix: " before the message of an error that is already set. */
void error_fill_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "invalid", "not_found", … for logs and metrics; static storage. */
const char *error_kind_name(enum error_kind kind);
