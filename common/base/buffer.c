#include "common/base/buffer.h"

#include "common/base/alloc.h"

#include <stdint.h>

#define FIRST_SIZE 64

/* What `data` points to before the first allocation: always "", never written (threads share it). */
static char empty[1];

void buffer_init(struct buffer *buf, size_t max)
{
	CHECK(max > 0 && max < SIZE_MAX / 2);
	*buf = (struct buffer){.data = empty, .max = max};
}

void buffer_release(struct buffer *buf)
{
	if (buf->size > 0)
		free(buf->data);
	*buf = (struct buffer){.data = empty, .max = buf->max};
}

void buffer_clear(struct buffer *buf)
{
	buffer_truncate(buf, 0);
	buf->overflowed = false;
}

/* Memory for `len` more bytes and the NUL. False past the maximum. */
static bool make_room(struct buffer *buf, size_t len)
{
	if (buf->overflowed || len > buf->max - buf->len)
		return false;
	size_t need = buf->len + len + 1;
	if (need <= buf->size)
		return true;
	size_t size = buf->size > 0 ? buf->size * 2 : FIRST_SIZE;
	if (size > buf->max + 1)
		size = buf->max + 1;
	if (size < need)
		size = need;
	buf->data = xrealloc(buf->size > 0 ? buf->data : NULL, size);
	buf->size = size;
	buf->data[buf->len] = '\0';
	return true;
}

static int overflow(struct buffer *buf)
{
	buf->overflowed = true;
	return -1;
}

int buffer_append(struct buffer *buf, const void *data, size_t len)
{
	if (!make_room(buf, len))
		return overflow(buf);
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buffer_append_str(struct buffer *buf, const char *text)
{
	return buffer_append(buf, text, strlen(text));
}

int buffer_vappendf(struct buffer *buf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	size_t room = buf->size > 0 ? buf->size - buf->len : 0;
	int wanted = vsnprintf(room > 0 ? buf->data + buf->len : NULL, room, format, args);
	CHECK(wanted >= 0);
	size_t len = (size_t)wanted;
	int result = 0;
	if (!make_room(buf, len)) {
		if (room > 0)
			buf->data[buf->len] = '\0'; /* what was cut off is not there at all */
		result = overflow(buf);
	} else {
		if (len >= room)
			(void)vsnprintf(buf->data + buf->len, len + 1, format, again); /* the same length again */
		buf->len += len;
	}
	va_end(again);
	return result;
}

int buffer_appendf(struct buffer *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int result = buffer_vappendf(buf, format, args);
	va_end(args);
	return result;
}

char *buffer_grow(struct buffer *buf, size_t len)
{
	return make_room(buf, len) ? buf->data + buf->len : NULL;
}

void buffer_consume(struct buffer *buf, size_t n)
{
	CHECK(n <= buf->len);
	if (n == 0)
		return;
	memmove(buf->data, buf->data + n, buf->len - n);
	buffer_truncate(buf, buf->len - n);
}

void buffer_truncate(struct buffer *buf, size_t len)
{
	CHECK(len <= buf->len);
	buf->len = len;
	if (buf->size > 0)
		buf->data[len] = '\0';
}

char *buffer_detach(struct buffer *buf, size_t *ret_len)
{
	char *data = buf->size > 0 ? buf->data : xcalloc(1, 1);
	if (ret_len != NULL)
		*ret_len = buf->len;
	*buf = (struct buffer){.data = empty, .max = buf->max, .overflowed = buf->overflowed};
	return data;
}
