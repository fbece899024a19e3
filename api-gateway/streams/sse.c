#include "api-gateway/streams/sse.h"

#include <string.h>

#include "common/base/str.h"

static void append_field(struct buffer *buf, const char *name, const char *value, size_t len)
{
	(void)buffer_append_str(buf, name); /* here and below: buffer_ok is the caller's business */
	(void)buffer_append(buf, ": ", 2);
	(void)buffer_append(buf, value, len);
	(void)buffer_append_char(buf, '\n');
}

void sse_id(struct buffer *buf, const char *id)
{
	CHECK(strpbrk(id, "\r\n") == NULL);
	append_field(buf, "id", id, strlen(id));
}

/* The length of the first line, without its end. */
static size_t line_len(const char *text, size_t len)
{
	size_t i = 0;
	while (i < len && text[i] != '\n' && text[i] != '\r')
		i++;
	return i;
}

void sse_event(struct buffer *buf, const char *id, const char *type, const char *data, size_t data_len)
{
	if (id != NULL)
		sse_id(buf, id);
	CHECK(strpbrk(type, "\r\n") == NULL);
	append_field(buf, "event", type, strlen(type));
	for (size_t at = 0;;) {
		size_t len = line_len(data + at, data_len - at);
		append_field(buf, "data", data + at, len);
		at += len;
		if (at == data_len)
			break;
		at += data[at] == '\r' && at + 1 < data_len && data[at + 1] == '\n' ? 2 : 1;
	}
	(void)buffer_append_char(buf, '\n');
}

int sse_read_sequence(const char *value, size_t len, int64_t *ret_sequence, struct error *err)
{
	struct error reason = ERROR_INIT;
	if (str_parse_int(value, len, 0, INT64_MAX, ret_sequence, &reason) < 0)
		return error_set(err, ERR_INVALID, "Last-Event-ID is not an id of this stream: it is a sequence");
	return 0;
}
