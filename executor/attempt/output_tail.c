#include "executor/attempt/output_tail.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/base/utf8.h"

void output_tail_add(struct output_tail *tail, const char *data, size_t len)
{
	if (len == 0)
		return;
	if (tail->ring == NULL)
		tail->ring = xmalloc(OUTPUT_TAIL_BYTES);
	if (len > OUTPUT_TAIL_BYTES) {
		data += len - OUTPUT_TAIL_BYTES;
		len = OUTPUT_TAIL_BYTES;
	}
	size_t first = OUTPUT_TAIL_BYTES - tail->next < len ? OUTPUT_TAIL_BYTES - tail->next : len;
	memcpy(tail->ring + tail->next, data, first);
	memcpy(tail->ring, data + first, len - first);
	tail->next = (tail->next + len) % OUTPUT_TAIL_BYTES;
	tail->len = tail->len + len > OUTPUT_TAIL_BYTES ? OUTPUT_TAIL_BYTES : tail->len + len;
}

void output_tail_text(const struct output_tail *tail, struct buffer *out)
{
	if (tail->len == 0)
		return;
	CLEANUP(free_p) char *raw = xmalloc(tail->len);
	size_t start = tail->len < OUTPUT_TAIL_BYTES ? 0 : tail->next;
	size_t first = tail->len - start;
	memcpy(raw, tail->ring + start, first);
	memcpy(raw + first, tail->ring, tail->len - first);
	size_t skip = tail->len == OUTPUT_TAIL_BYTES ? utf8_start(raw, 0, 3) : 0; /* a cut character at the front */
	CLEANUP(buffer_release_p) struct buffer clean;
	buffer_init(&clean, 3 * (size_t)OUTPUT_TAIL_BYTES + 1);
	CHECK(str_append_utf8_lossy(&clean, raw + skip, tail->len - skip) == 0);
	size_t from = clean.len > OUTPUT_TAIL_BYTES ? utf8_start(clean.data, clean.len - OUTPUT_TAIL_BYTES, clean.len) : 0;
	CHECK(buffer_append(out, clean.data + from, clean.len - from) == 0);
}

void output_tail_release(struct output_tail *tail)
{
	free(tail->ring);
	*tail = (struct output_tail){.ring = NULL};
}
