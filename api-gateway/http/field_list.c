#include "api-gateway/http/field_list.h"

#include <string.h>
#include <strings.h>

struct slice slice_trim(struct slice slice)
{
	while (slice.len > 0 && slice_is_blank(slice.data[0])) {
		slice.data++;
		slice.len--;
	}
	while (slice.len > 0 && slice_is_blank(slice.data[slice.len - 1]))
		slice.len--;
	return slice;
}

static size_t find_separator(struct slice slice, char separator, enum slice_quotes quotes)
{
	bool quoted = false;
	size_t at = 0;
	for (; at < slice.len && (quoted || slice.data[at] != separator); at++) {
		if (quotes == SLICE_QUOTES_HIDE && slice.data[at] == '"')
			quoted = !quoted;
		else if (quoted && slice.data[at] == '\\' && at + 1 < slice.len)
			at++;
	}
	return at;
}

struct slice slice_next(struct slice *rest, char separator, enum slice_quotes quotes)
{
	struct slice part = {rest->data, find_separator(*rest, separator, quotes)};
	size_t taken = part.len < rest->len ? part.len + 1 : part.len;
	if (taken > 0)
		rest->data += taken;
	rest->len -= taken;
	return slice_trim(part);
}

bool slice_equals(struct slice slice, const char *text)
{
	return slice.len == strlen(text) && strncasecmp(slice.data, text, slice.len) == 0;
}
