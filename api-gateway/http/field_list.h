/*
 * The values of fields, taken apart in place: elements of lists, parameters (RFC 9110 section 5.6). Pure functions; what
 * they return lies in what they were given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of somebody else's; not NUL-terminated. data is NULL when the header is absent. */
struct slice {
	const char *data;
	size_t len;
};

static inline bool slice_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without the blanks around it. */
struct slice slice_trim(struct slice slice);

enum slice_quotes {
	SLICE_QUOTES_PLAIN, /* a character like others */
	SLICE_QUOTES_HIDE,  /* a separator between them is none, nor is a quote after a backslash there */
};

/* Takes what comes before the first separator, without the blanks around it, off *rest, and the separator: nothing is
 * left after the last. */
struct slice slice_next(struct slice *rest, char separator, enum slice_quotes quotes);

/* The same letters, small or capital. */
bool slice_equals(struct slice slice, const char *text);
