#include "common/base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "common/base/alloc.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena)
{
	arena->chunks = NULL;
}

static void free_chunks(struct arena_chunk *chunk)
{
	while (chunk != NULL) {
		struct arena_chunk *next = chunk->next;
		free(chunk);
		chunk = next;
	}
}

void arena_release(struct arena *arena)
{
	free_chunks(arena->chunks);
	arena->chunks = NULL;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *kept = NULL;
	for (struct arena_chunk *chunk = arena->chunks; chunk != NULL;) {
		struct arena_chunk *next = chunk->next;
		if (kept == NULL && chunk->size == CHUNK_BYTES)
			kept = chunk;
		else
			free(chunk);
		chunk = next;
	}
	if (kept != NULL) {
		kept->next = NULL;
		kept->used = 0;
	}
	arena->chunks = kept;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_chunk *chunk = arena->chunks;
	if (chunk == NULL || chunk->size - chunk->used < size) {
		size_t room = size > CHUNK_BYTES / 4 ? size : CHUNK_BYTES;
		chunk = xmalloc(sizeof(*chunk) + room);
		chunk->size = room;
		chunk->used = 0;
		/* A large piece fills its chunk: the one in use stays first. */
		if (room != CHUNK_BYTES && arena->chunks != NULL) {
			chunk->next = arena->chunks->next;
			arena->chunks->next = chunk;
		} else {
			chunk->next = arena->chunks;
			arena->chunks = chunk;
		}
	}
	void *piece = chunk->data + chunk->used;
	chunk->used += size;
	memset(piece, 0, size);
	return piece;
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(len >= 0);
	char *text = arena_alloc(arena, (size_t)len + 1);
	(void)vsnprintf(text, (size_t)len + 1, format, again); /* measured above */
	va_end(again);
	return text;
}
