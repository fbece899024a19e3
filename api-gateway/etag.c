#include "api-gateway/etag.h"

#include <string.h>

void etag_format(int64_t version, char ret[ETAG_SIZE])
{
	(void)snprintf(ret, ETAG_SIZE, "\"%lld\"", (long long)version); /* 22 characters at most */
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return at;
}

static int bad_list(struct error *err)
{
	return error_set(err, ERR_INVALID, "If-Match must be *, or entity tags in quotes");
}

int etag_matches(const char *value, size_t len, int64_t version, bool *ret_matches, struct error *err)
{
	char wanted[ETAG_SIZE];
	etag_format(version, wanted);
	const char *end = value + len, *at = skip_blanks(value, end);
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (end - at == 1 && *at == '*') {
		*ret_matches = true;
		return 0;
	}
	bool matches = false;
	for (;;) {
		bool weak = end - at >= 2 && memcmp(at, "W/", 2) == 0;
		if (weak)
			at += 2;
		if (at >= end || *at != '"')
			return bad_list(err);
		const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (close == NULL)
			return bad_list(err);
		size_t tag_len = (size_t)(close - at) + 1;
		if (!weak && tag_len == strlen(wanted) && memcmp(at, wanted, tag_len) == 0)
			matches = true;
		at = skip_blanks(close + 1, end);
		if (at == end)
			break;
		if (*at != ',')
			return bad_list(err);
		at = skip_blanks(at + 1, end);
	}
	*ret_matches = matches;
	return 0;
}
