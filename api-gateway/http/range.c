#include "api-gateway/http/range.h"

#include <string.h>
#include <strings.h>

#include "api-gateway/http/field_list.h"
#include "common/base/str.h"

static const char unit[] = "bytes=";

/* Digits only; one that is too large to count is as good as the largest. */
static int read_number(const char *text, size_t len, int64_t *ret)
{
	struct error err = ERROR_INIT;
	if (len == 0)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
	}
	if (str_parse_int(text, len, 0, INT64_MAX, ret, &err) < 0)
		*ret = INT64_MAX;
	return 0;
}

static enum range suffix(int64_t wanted, int64_t size, int64_t *ret_first, int64_t *ret_len)
{
	if (wanted == 0)
		return RANGE_NEVER;
	if (size == 0)
		return RANGE_NONE; /* all of nothing */
	*ret_len = wanted < size ? wanted : size;
	*ret_first = size - *ret_len;
	return RANGE_ONE;
}

enum range range_read(const char *value, size_t len, int64_t size, int64_t *ret_first, int64_t *ret_len)
{
	size_t unit_len = sizeof(unit) - 1;
	if (len < unit_len || strncasecmp(value, unit, unit_len) != 0)
		return RANGE_NONE;
	struct slice numbers = slice_trim((struct slice){value + unit_len, len - unit_len});
	const char *text = numbers.data, *end = numbers.data + numbers.len;
	const char *dash = memchr(text, '-', (size_t)(end - text));
	int64_t first, last = INT64_MAX;
	if (dash == NULL)
		return RANGE_NONE;
	if (dash == text)
		return read_number(dash + 1, (size_t)(end - dash - 1), &last) == 0 ? suffix(last, size, ret_first, ret_len)
																		   : RANGE_NONE;
	if (read_number(text, (size_t)(dash - text), &first) < 0 ||
		(dash + 1 < end && read_number(dash + 1, (size_t)(end - dash - 1), &last) < 0) || last < first)
		return RANGE_NONE;
	if (first >= size)
		return RANGE_NEVER;
	*ret_first = first;
	*ret_len = (last < size ? last + 1 : size) - first;
	return RANGE_ONE;
}
