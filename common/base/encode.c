/* Hexadecimal and base64 (RFC 4648). */
#include "common/base/str.h"

void hex_encode(const void *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;
	for (size_t i = 0; i < len; i++) {
		*ret++ = digits[bytes[i] >> 4];
		*ret++ = digits[bytes[i] & 15];
	}
	*ret = '\0';
}

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *text, size_t text_len, void *ret, size_t len)
{
	if (text_len % 2 != 0 || text_len / 2 != len)
		return -1;
	for (size_t i = 0; i < text_len; i++) {
		if (hex_digit(text[i]) < 0)
			return -1;
	}
	unsigned char *out = ret;
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)(hex_digit(text[2 * i]) * 16 + hex_digit(text[2 * i + 1]));
	return 0;
}

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int base64_encode(struct buffer *buf, const unsigned char *bytes, size_t len, const char *alphabet, bool padded)
{
	size_t text_len = len / 3 * 4 + (len % 3 == 0 ? 0 : padded ? 4 : len % 3 + 1);
	char *out = buffer_reserve(buf, text_len);
	if (out == NULL) {
		buf->overflowed = true;
		return -1;
	}
	size_t i = 0;
	for (; len - i >= 3; i += 3) {
		unsigned word = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
		*out++ = alphabet[word >> 18];
		*out++ = alphabet[word >> 12 & 63];
		*out++ = alphabet[word >> 6 & 63];
		*out++ = alphabet[word & 63];
	}
	if (len - i > 0) {
		unsigned word = (unsigned)bytes[i] << 16 | (len - i == 2 ? (unsigned)bytes[i + 1] << 8 : 0);
		*out++ = alphabet[word >> 18];
		*out++ = alphabet[word >> 12 & 63];
		if (len - i == 2)
			*out++ = alphabet[word >> 6 & 63];
		else if (padded)
			*out++ = '=';
		if (padded)
			*out = '=';
	}
	buffer_commit(buf, text_len);
	return 0;
}

int base64_append(struct buffer *buf, const void *data, size_t len)
{
	return base64_encode(buf, data, len, standard, true);
}

int base64url_append(struct buffer *buf, const void *data, size_t len)
{
	return base64_encode(buf, data, len, url_safe, false);
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct buffer *ret, const char *text, size_t len, struct error *err)
{
	size_t digits = len;
	if (len % 4 == 0) {
		for (int i = 0; i < 2 && digits > 0 && text[digits - 1] == '='; i++)
			digits--;
	}
	if (digits % 4 == 1)
		return error_set(err, ERR_INVALID, "base64 of an impossible length");
	for (size_t i = 0; i < digits; i++) {
		if (base64_digit(text[i]) < 0)
			return error_set(err, ERR_INVALID, "byte %zu is not base64", i);
	}
	char *out = buffer_reserve(ret, digits * 3 / 4);
	if (out == NULL)
		return error_set(err, ERR_LIMIT, "the base64 text is too long");
	unsigned word = 0, bits = 0;
	for (size_t i = 0; i < digits; i++) {
		word = word << 6 | (unsigned)base64_digit(text[i]);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*out++ = (char)(word >> bits & 0xFF);
		}
	}
	/* Bits that no encoder sets: two texts must not decode to the same bytes (RFC 4648 section 3.5). */
	if ((word & ((1U << bits) - 1)) != 0)
		return error_set(err, ERR_INVALID, "base64 with stray bits at its end");
	buffer_commit(ret, digits * 3 / 4);
	return 0;
}

int base64url_decode(struct buffer *ret, const char *text, size_t len, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer plain;
	buffer_init(&plain, len + 1);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return error_set(err, ERR_INVALID, "byte %zu is not base64url", i);
		/* There is room. */
		(void)buffer_append_char(&plain, (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]));
	}
	return base64_decode(ret, plain.data, plain.len, err);
}
