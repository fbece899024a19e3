/* Allocation that aborts when memory is out: an orchestrator that limps on without memory loses more than one that
 * restarts. Everything is freed with free(). */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/base/compiler.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *pointer, size_t size) __attribute__((returns_nonnull));
/* count × size with an overflow check that aborts. */
void *xreallocarray(void *pointer, size_t count, size_t size) __attribute__((returns_nonnull));
/* xstrdup(NULL) is NULL, so that optional strings copy without a branch. */
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len) __attribute__((returns_nonnull));
void *xmemdup(const void *data, size_t len) __attribute__((returns_nonnull));
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((returns_nonnull));
char *xvasprintf(const char *format, va_list args) PRINTF_LIKE(1, 0) __attribute__((returns_nonnull));

/* For CLEANUP on plain pointers: `CLEANUP(free_p) char *text = …`. */
static inline void free_p(void *pointer_address)
{
	free(*(void **)pointer_address);
}
