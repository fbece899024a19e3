#include "api-gateway/http/target.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* How long "http://" or "https://" is at the beginning; 0: neither is there. */
static size_t scheme_len(const char *text, size_t len)
{
	static const char *const schemes[] = {"http://", "https://"};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t scheme = strlen(schemes[i]);
		if (len >= scheme && strncasecmp(text, schemes[i], scheme) == 0)
			return scheme;
	}
	return 0;
}

/* A host there has to be; before a user people were warned (RFC 9110 sections 4.2.1 and 4.2.4). */
static bool is_authority(const char *text, size_t len)
{
	return len > 0 && text[0] != ':' && memchr(text, '@', len) == NULL;
}

int target_read(const char *text, size_t len, struct target *ret)
{
	if (memchr(text, '#', len) != NULL)
		return -1;
	size_t at = scheme_len(text, len), end = at;
	if (at > 0) {
		while (end < len && text[end] != '/' && text[end] != '?')
			end++;
		if (!is_authority(text + at, end - at))
			return -1;
	} else if (len == 0 || text[0] != '/') {
		return -1;
	}
	text += end;
	len -= end;
	const char *mark = memchr(text, '?', len);
	size_t path_len = mark != NULL ? (size_t)(mark - text) : len;
	ret->path = path_len > 0 ? text : "/"; /* "http://host" and "http://host?query" */
	ret->path_len = path_len > 0 ? path_len : 1;
	ret->query = mark != NULL ? mark + 1 : "";
	ret->query_len = mark != NULL ? len - path_len - 1 : 0;
	return 0;
}
