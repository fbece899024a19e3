/* Git's pkt-lines (gitprotocol-common(5)): four hex digits say how long a line is, themselves included. */
#pragma once

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

enum pkt_kind {
	PKT_END,       /* nothing is left */
	PKT_DATA,      /* a line, or bytes; a newline is part of them */
	PKT_FLUSH,     /* 0000: the end of a message */
	PKT_DELIMITER, /* 0001: the end of a section */
	PKT_MALFORMED, /* also one that is cut off */
};

/* What is left of the caller's bytes. */
struct pkt_reader {
	const char *at;
	size_t left;
};

/* `ret_data` points into the reader's bytes; it is set for PKT_DATA only. */
enum pkt_kind pkt_next(struct pkt_reader *reader, const char **ret_data, size_t *ret_len) MUST_CHECK;

/* One line, with a newline added; at most 1000 bytes. What does not fit the buffer shows by buffer_ok. */
void pkt_append(struct buffer *out, const char *format, ...) PRINTF_LIKE(2, 3);
void pkt_append_flush(struct buffer *out);
void pkt_append_delimiter(struct buffer *out);
