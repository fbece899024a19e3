#include <stdio.h>
#include <string.h>

#include "common/pg/pg.h"

void pg_array_init(struct pg_array *array, size_t max_bytes)
{
	buffer_init(&array->buf, max_bytes);
	array->len = 0;
}

void pg_array_release(struct pg_array *array)
{
	buffer_release(&array->buf);
	array->len = 0;
}

void pg_array_clear(struct pg_array *array)
{
	buffer_clear(&array->buf);
	array->len = 0;
}

/* An element never ends with a bare '}': that is the end put there by pg_array_text. */
static void next_element(struct pg_array *array)
{
	struct buffer *buf = &array->buf;
	if (buf->len > 0 && buf->data[buf->len - 1] == '}')
		buffer_truncate(buf, buf->len - 1);
	CHECK(buffer_append_char(buf, array->len == 0 ? '{' : ',') == 0);
	array->len++;
}

void pg_array_add(struct pg_array *array, const char *text)
{
	if (text != NULL) {
		pg_array_add_len(array, text, strlen(text));
		return;
	}
	next_element(array);
	CHECK(buffer_append(&array->buf, "NULL", 4) == 0);
}

void pg_array_add_len(struct pg_array *array, const char *text, size_t len)
{
	next_element(array);
	char *to = buffer_reserve(&array->buf, 2 * len + 2); /* if all of it were quotes */
	CHECK(to != NULL);
	char *at = to;
	*at++ = '"';
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			*at++ = '\\';
		*at++ = text[i];
	}
	*at++ = '"';
	buffer_commit(&array->buf, (size_t)(at - to));
}

void pg_array_add_int(struct pg_array *array, int64_t value)
{
	char text[24];
	next_element(array);
	int len = snprintf(text, sizeof(text), "%lld", (long long)value);
	CHECK(buffer_append(&array->buf, text, (size_t)len) == 0);
}

void pg_array_add_bytes(struct pg_array *array, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	next_element(array);
	CHECK(buffer_append(&array->buf, "\"\\\\x", 4) == 0);
	char *to = buffer_reserve(&array->buf, 2 * len);
	CHECK(to != NULL);
	const unsigned char *from = data;
	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[from[i] >> 4];
		to[2 * i + 1] = digits[from[i] & 15];
	}
	buffer_commit(&array->buf, 2 * len);
	CHECK(buffer_append_char(&array->buf, '"') == 0);
}

const char *pg_array_text(struct pg_array *array)
{
	struct buffer *buf = &array->buf;
	if (array->len == 0 && buf->len == 0)
		CHECK(buffer_append_char(buf, '{') == 0);
	if (buf->data[buf->len - 1] != '}')
		CHECK(buffer_append_char(buf, '}') == 0);
	return buf->data;
}
