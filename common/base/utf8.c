#include "common/base/utf8.h"

#include <stdint.h>

#include "common/base/str.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

bool str_is_utf8(const char *text, size_t len)
{
	size_t at = 0;
	while (at < len) {
		/* Eight ASCII bytes at a time: most text is. */
		uint64_t word;
		while (len - at >= sizeof(word)) {
			memcpy(&word, text + at, sizeof(word));
			if ((word & 0x8080808080808080) != 0)
				break;
			at += sizeof(word);
		}
		if (at == len)
			return true;
		size_t step = utf8_sequence_len(text + at, len - at);
		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

/* Bytes to skip for one replacement: the maximal valid prefix of a broken sequence (Unicode, section 3.9). */
static size_t broken_len(const char *text, size_t len)
{
	static const unsigned char fillers[] = {0x80, 0x90, 0xA0};
	for (size_t have = len < 3 ? len : 3; have > 1; have--) {
		/* `have` bytes are a valid beginning if some continuation completes them. */
		for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
			char probe[4] = {(char)fillers[i], (char)fillers[i], (char)fillers[i], (char)fillers[i]};
			memcpy(probe, text, have);
			if (utf8_sequence_len(probe, sizeof(probe)) > have)
				return have;
		}
	}
	return 1;
}

int str_append_utf8_lossy(struct buffer *buf, const char *text, size_t len)
{
	size_t from = 0, at = 0;
	int result = 0;
	while (at < len && result == 0) {
		size_t step = text[at] == '\0' ? 0 : utf8_sequence_len(text + at, len - at);
		if (step > 0) {
			at += step;
			continue;
		}
		result = buffer_append(buf, text + from, at - from);
		if (result == 0)
			result = buffer_append(buf, REPLACEMENT, sizeof(REPLACEMENT) - 1);
		at += text[at] == '\0' ? 1 : broken_len(text + at, len - at);
		from = at;
	}
	return result == 0 ? buffer_append(buf, text + from, at - from) : result;
}
