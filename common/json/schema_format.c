#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/json/schema_internal.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_uri_char(char c)
{
	return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("-._~:/?#[]@!$&'()*+,;=", c) != NULL);
}

/* RFC 3986's characters and a scheme. What the parts mean is for whoever connects (and for the address guard). */
static bool is_uri(const char *text, size_t len)
{
	size_t scheme_len = 0;
	while (scheme_len < len && (is_alpha(text[scheme_len]) ||
								(scheme_len > 0 && (is_digit(text[scheme_len]) || strchr("+-.", text[scheme_len])))))
		scheme_len++;
	if (scheme_len == 0 || scheme_len + 1 >= len || text[scheme_len] != ':')
		return false;
	size_t hashes = 0;
	for (size_t i = scheme_len; i < len; i++) {
		if (text[i] == '%') {
			if (len - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
				return false;
			i += 2;
		} else if (!is_uri_char(text[i])) {
			return false;
		} else if (text[i] == '#') {
			hashes++;
		}
	}
	bool empty_authority = len >= scheme_len + 3 && text[scheme_len + 1] == '/' && text[scheme_len + 2] == '/' &&
						   (len == scheme_len + 3 || strchr("/?#", text[scheme_len + 3]) != NULL) &&
						   strncmp(text, "file:", 5) != 0;
	return hashes <= 1 && !empty_authority;
}

bool schema_format_find(const char *name, enum schema_format *ret_format)
{
	static const char *const names[] = {[FORMAT_UUID] = "uuid", [FORMAT_DATE_TIME] = "date-time", [FORMAT_URI] = "uri"};
	for (size_t i = FORMAT_UUID; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret_format = (enum schema_format)i;
			return true;
		}
	}
	return false;
}

bool schema_format_matches(enum schema_format format, const char *text, size_t len)
{
	int64_t time;
	switch (format) {
	case FORMAT_NONE:
		return true;
	case FORMAT_UUID:
		return uuid_is_valid(text, len);
	case FORMAT_DATE_TIME:
		return clock_parse_rfc3339(text, len, &time) == 0;
	case FORMAT_URI:
		return is_uri(text, len);
	}
	return false;
}
