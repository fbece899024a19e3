#include "executor/git/pkt_line.h"

#include <stdarg.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

#define LENGTH_BYTES 4
#define MAX_TEXT_BYTES 1000

/* The four digits; -1 when they are none. */
static int read_length(const char *text)
{
	int length = 0;
	for (int i = 0; i < LENGTH_BYTES; i++) {
		int digit = hex_digit(text[i]);
		if (digit < 0)
			return -1;
		length = length * 16 + digit;
	}
	return length;
}

enum pkt_kind pkt_next(struct pkt_reader *reader, const char **ret_data, size_t *ret_len)
{
	if (reader->left == 0)
		return PKT_END;
	int length = reader->left < LENGTH_BYTES ? -1 : read_length(reader->at);
	if (length == 0 || length == 1) {
		reader->at += LENGTH_BYTES;
		reader->left -= LENGTH_BYTES;
		return length == 0 ? PKT_FLUSH : PKT_DELIMITER;
	}
	if (length < LENGTH_BYTES || (size_t)length > reader->left)
		return PKT_MALFORMED;
	*ret_data = reader->at + LENGTH_BYTES;
	*ret_len = (size_t)length - LENGTH_BYTES;
	reader->at += length;
	reader->left -= (size_t)length;
	return PKT_DATA;
}

void pkt_append(struct buffer *out, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	CLEANUP(free_p) char *text = xvasprintf(format, args);
	va_end(args);
	size_t len = strlen(text);
	CHECK(len <= MAX_TEXT_BYTES);
	(void)buffer_appendf(out, "%04zx%s\n", LENGTH_BYTES + len + 1, text); /* the caller asks buffer_ok */
}

void pkt_append_flush(struct buffer *out)
{
	(void)buffer_append_str(out, "0000"); /* as above */
}

void pkt_append_delimiter(struct buffer *out)
{
	(void)buffer_append_str(out, "0001"); /* as above */
}
