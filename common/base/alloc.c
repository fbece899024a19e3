#include "common/base/alloc.h"

#include <stdint.h>
#include <unistd.h>

static NORETURN void out_of_memory(size_t size)
{
	(void)dprintf(STDERR_FILENO, "kiln: out of memory (%zu bytes)\n", size);
	abort();
}

void *xmalloc(size_t size)
{
	void *pointer = malloc(size > 0 ? size : 1);
	if (pointer == NULL)
		out_of_memory(size);
	return pointer;
}

void *xcalloc(size_t count, size_t size)
{
	void *pointer = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
	if (pointer == NULL)
		out_of_memory(size);
	return pointer;
}

void *xrealloc(void *pointer, size_t size)
{
	void *moved = realloc(pointer, size > 0 ? size : 1);
	if (moved == NULL)
		out_of_memory(size);
	return moved;
}

void *xreallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		out_of_memory(SIZE_MAX);
	return xrealloc(pointer, bytes);
}

char *xstrdup(const char *text)
{
	return text == NULL ? NULL : xmemdup(text, strlen(text) + 1);
}

char *xstrndup(const char *text, size_t len)
{
	size_t used = strnlen(text, len);
	char *copy = xmalloc(used + 1);
	memcpy(copy, text, used);
	copy[used] = '\0';
	return copy;
}

void *xmemdup(const void *data, size_t len)
{
	void *copy = xmalloc(len);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

char *xvasprintf(const char *format, va_list args)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		out_of_memory(0);
	return text;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = xvasprintf(format, args);
	va_end(args);
	return text;
}
