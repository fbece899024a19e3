/*
 * Memory for one transaction's work: allocated piece by piece, forgotten all at once. One thread's.
 */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* the one in use first */
};

void arena_init(struct arena *arena);
void arena_release(struct arena *arena);
/* Forgets everything; keeps one ordinary chunk for the next round. */
void arena_reset(struct arena *arena);

/* Aligned for any type; zeroed. Aborts when memory is out. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
/* A copy with a NUL behind it. */
char *arena_strndup(struct arena *arena, const char *text, size_t len) __attribute__((returns_nonnull));
/* NULL for NULL. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3) __attribute__((returns_nonnull));
