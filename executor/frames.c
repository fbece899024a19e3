#include "executor/frames.h"

#include <string.h>

/* Both ends are the same binary on one machine: the header is in the machine's byte order. */
struct header {
	uint32_t len;
	uint32_t type;
	uint64_t id;
};
_Static_assert(sizeof(struct header) == FRAME_HEADER_BYTES, "no padding");

int frame_append(struct buffer *out, enum frame_type type, uint64_t id, const void *data, size_t len)
{
	CHECK(len <= FRAME_MAX_BYTES);
	struct header header = {.len = (uint32_t)len, .type = (uint32_t)type, .id = id};
	size_t before = out->len;
	if (buffer_append(out, &header, sizeof(header)) < 0)
		return -1;
	if (len > 0 && buffer_append(out, data, len) < 0) {
		buffer_truncate(out, before);
		return -1;
	}
	return 0;
}

int frame_peek(const struct buffer *in, struct frame *ret_frame)
{
	struct header header;
	if (in->len < sizeof(header))
		return 0;
	memcpy(&header, in->data, sizeof(header));
	if (header.type < FRAME_ATTEMPT || header.type > FRAME_COMMITTING || header.len > FRAME_MAX_BYTES)
		return -1;
	if (in->len < sizeof(header) + header.len)
		return 0;
	ret_frame->type = (enum frame_type)header.type;
	ret_frame->id = header.id;
	ret_frame->data = in->data + sizeof(header);
	ret_frame->len = header.len;
	return 1;
}

void frame_consume(struct buffer *in, const struct frame *frame)
{
	buffer_consume(in, FRAME_HEADER_BYTES + frame->len);
}
