/* The last bytes of a stream: a ring of fixed size. */
#pragma once

#include <stddef.h>

#include "common/base/buffer.h"

#define OUTPUT_TAIL_BYTES ((size_t)256 * 1024)

struct output_tail {
	char *ring; /* allocated with the first bytes */
	size_t len, next;
};

void output_tail_add(struct output_tail *tail, const char *data, size_t len);
/* Appends the tail as valid UTF-8 of at most OUTPUT_TAIL_BYTES, beginning at a character. */
void output_tail_text(const struct output_tail *tail, struct buffer *out);
void output_tail_release(struct output_tail *tail);
