#include "common/base/str.h"

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		   c == '_' || c == '~';
}

int url_encode(struct buffer *ret, const char *text, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];
		char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
		int result =
			is_unreserved(text[i]) ? buffer_append_char(ret, text[i]) : buffer_append(ret, escape, sizeof(escape));
		if (result < 0)
			return -1;
	}
	return 0;
}

/* Up to what may mean something else. */
static size_t plain_len(const char *text, size_t len)
{
	size_t at = 0;
	while (at < len && text[at] != '%' && text[at] != '+' && text[at] != '\0')
		at++;
	return at;
}

int url_decode(struct buffer *ret, const char *text, size_t len, bool plus_is_space, struct error *err)
{
	size_t start = ret->len;
	bool fits = true;
	for (size_t i = 0; i < len; i++) {
		size_t plain = plain_len(text + i, len - i);
		fits = fits && buffer_append(ret, text + i, plain) == 0;
		i += plain;
		if (i == len)
			break;
		char c = text[i];
		if (c == '+' && plus_is_space) {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3 || hex_decode(text + i + 1, 2, &c, 1) < 0) {
				buffer_truncate(ret, start);
				return error_set(err, ERR_INVALID, "byte %zu: bad percent escape", i);
			}
			i += 2;
		}
		if (c == '\0') {
			buffer_truncate(ret, start);
			return error_set(err, ERR_INVALID, "byte %zu: NUL is not allowed", i);
		}
		fits = fits && buffer_append_char(ret, c) == 0;
	}
	if (!fits) {
		buffer_truncate(ret, start);
		return error_set(err, ERR_LIMIT, "the text is too long");
	}
	if (!str_is_utf8(ret->data + start, ret->len - start)) {
		buffer_truncate(ret, start);
		return error_set(err, ERR_INVALID, "not valid UTF-8");
	}
	return 0;
}
