#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "common/base/ids.h"
#include "common/base/str.h"
#include "common/pg/pg.h"

/* Before the elements of a binary array: dimensions, whether there are NULLs (the server looks itself), the type, the
 * length and the first index of the one dimension. */
enum { HEAD_DIMENSIONS, HEAD_NULLS, HEAD_TYPE, HEAD_LENGTH, HEAD_FIRST, HEAD_WORDS };

void pg_array_init(struct pg_array *array, size_t max_bytes)
{
	pg_array_init_binary(array, PG_LITERAL, max_bytes);
}

void pg_array_init_binary(struct pg_array *array, enum pg_element element, size_t max_bytes)
{
	buffer_init(&array->buf, max_bytes);
	array->len = 0;
	array->element = element;
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

/* --- binary: the length of each element, then itself --- */

static void add_binary(struct pg_array *array, const void *data, size_t len)
{
	static const uint32_t head[HEAD_WORDS];
	if (array->len == 0) {
		buffer_clear(&array->buf);
		CHECK(buffer_append(&array->buf, head, sizeof(head)) == 0);
	}
	CHECK(len <= INT32_MAX);
	uint32_t size = htobe32((uint32_t)len);
	char *to = buffer_reserve(&array->buf, sizeof(size) + len);
	CHECK(to != NULL);
	memcpy(to, &size, sizeof(size));
	if (len > 0)
		memcpy(to + sizeof(size), data, len);
	buffer_commit(&array->buf, sizeof(size) + len);
	array->len++;
}

static void add_binary_null(struct pg_array *array)
{
	const uint32_t null = UINT32_MAX;
	add_binary(array, NULL, 0);
	memcpy(array->buf.data + array->buf.len - sizeof(null), &null, sizeof(null));
}

static void add_uuid(struct pg_array *array, const char *text, size_t len)
{
	char digits[32];
	size_t found = 0;
	unsigned char bytes[16];
	CHECK(len == UUID_TEXT_SIZE - 1);
	for (size_t i = 0; i < len && found < sizeof(digits); i++) {
		if (text[i] != '-')
			digits[found++] = text[i];
	}
	CHECK(hex_decode(digits, found, bytes, sizeof(bytes)) == 0);
	add_binary(array, bytes, sizeof(bytes));
}

static void add_integer(struct pg_array *array, int64_t value)
{
	uint64_t bytes = htobe64((uint64_t)value);
	size_t len = array->element == PG_INT8 ? 8 : array->element == PG_INT4 ? 4 : 2;
	CHECK(array->element == PG_INT8 || array->element == PG_INT4 || array->element == PG_INT2);
	CHECK(len == 8 || (value >= -(INT64_C(1) << (8 * len - 1)) && value < INT64_C(1) << (8 * len - 1)));
	add_binary(array, (const char *)&bytes + sizeof(bytes) - len, len);
}

/* The head as it is now; without elements there is no dimension. */
static const char *finish_binary(struct pg_array *array)
{
	const uint32_t head[HEAD_WORDS] = {
		[HEAD_DIMENSIONS] = htobe32(array->len > 0),
		[HEAD_TYPE] = htobe32((uint32_t)array->element),
		[HEAD_LENGTH] = htobe32((uint32_t)array->len),
		[HEAD_FIRST] = htobe32(1),
	};
	if (array->len == 0) {
		buffer_clear(&array->buf);
		CHECK(buffer_append(&array->buf, head, HEAD_LENGTH * sizeof(head[0])) == 0);
	} else {
		memcpy(array->buf.data, head, sizeof(head));
	}
	return array->buf.data;
}

/* --- literal --- */

/* An element never ends with a bare '}': that is the end put there by pg_array_text. */
static void next_element(struct pg_array *array)
{
	struct buffer *buf = &array->buf;
	if (buf->len > 0 && buf->data[buf->len - 1] == '}')
		buffer_truncate(buf, buf->len - 1);
	CHECK(buffer_append_char(buf, array->len == 0 ? '{' : ',') == 0);
	array->len++;
}

static void add_plain(struct pg_array *array, const char *text, size_t len)
{
	next_element(array);
	CHECK(buffer_append(&array->buf, text, len) == 0);
}

static void add_quoted(struct pg_array *array, const char *text, size_t len)
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

static void add_hex(struct pg_array *array, const void *data, size_t len)
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

/* --- either --- */

void pg_array_add(struct pg_array *array, const char *text)
{
	if (text != NULL)
		pg_array_add_len(array, text, strlen(text));
	else if (array->element == PG_LITERAL)
		add_plain(array, "NULL", 4);
	else
		add_binary_null(array);
}

void pg_array_add_len(struct pg_array *array, const char *text, size_t len)
{
	if (array->element == PG_LITERAL) {
		add_quoted(array, text, len);
	} else if (array->element == PG_UUID) {
		add_uuid(array, text, len);
	} else {
		CHECK(array->element == PG_TEXT || array->element == PG_JSON);
		add_binary(array, text, len);
	}
}

void pg_array_add_int(struct pg_array *array, int64_t value)
{
	char text[24];
	if (array->element == PG_LITERAL)
		add_plain(array, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)value));
	else
		add_integer(array, value);
}

void pg_array_add_bool(struct pg_array *array, bool value)
{
	CHECK(array->element == PG_LITERAL || array->element == PG_BOOL);
	if (array->element == PG_LITERAL)
		add_plain(array, value ? "t" : "f", 1);
	else
		add_binary(array, value ? "\1" : "\0", 1);
}

void pg_array_add_bytes(struct pg_array *array, const void *data, size_t len)
{
	CHECK(array->element == PG_LITERAL || array->element == PG_BYTEA);
	if (array->element == PG_LITERAL)
		add_hex(array, data, len);
	else
		add_binary(array, data, len);
}

const char *pg_array_text(struct pg_array *array)
{
	struct buffer *buf = &array->buf;
	if (array->element != PG_LITERAL)
		return finish_binary(array);
	if (array->len == 0 && buf->len == 0)
		CHECK(buffer_append_char(buf, '{') == 0);
	if (buf->data[buf->len - 1] != '}')
		CHECK(buffer_append_char(buf, '}') == 0);
	return buf->data;
}
