/* One UTF-8 sequence at a time, for whoever scans text. */
#pragma once

#include <stddef.h>

/* Length (1 to 4) of the valid sequence (RFC 3629) at `text`, which has `len` > 0 bytes; 0 when it is invalid or cut
 * off. */
static inline size_t utf8_sequence_len(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xC2)
		return 0; /* a continuation, or an overlong form */
	if (s[0] < 0xE0)
		return len >= 2 && (s[1] & 0xC0) == 0x80 ? 2 : 0;
	if (s[0] < 0xF0) {
		if (len < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80)
			return 0;
		if (s[0] == 0xE0 && s[1] < 0xA0)
			return 0; /* overlong */
		if (s[0] == 0xED && s[1] >= 0xA0)
			return 0; /* a surrogate */
		return 3;
	}
	if (s[0] > 0xF4 || len < 4 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80)
		return 0;
	if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90))
		return 0; /* overlong, or past U+10FFFF */
	return 4;
}

/* The largest n <= len at which `text` (valid UTF-8) can be cut without splitting a sequence. */
static inline size_t utf8_cut(const char *text, size_t text_len, size_t len)
{
	if (len >= text_len)
		return text_len;
	while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

/* The first place from `at` on at which `text` (valid UTF-8, `len` bytes) can begin without splitting a sequence. */
static inline size_t utf8_start(const char *text, size_t at, size_t len)
{
	while (at < len && ((unsigned char)text[at] & 0xC0) == 0x80)
		at++;
	return at;
}
