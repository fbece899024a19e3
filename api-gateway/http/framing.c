#include "api-gateway/http/framing.h"

#include <string.h>
#include <strings.h>

#include "common/base/compiler.h"

struct counts {
	unsigned lengths, codings, hosts;
};

static bool is_field(const char *line, size_t len, const char *name, size_t name_len)
{
	return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

static void count_field(struct counts *counts, const char *line, size_t len)
{
	/* Most lines are told apart by one letter. */
	switch (line[0] | 0x20) {
	case 'c':
		counts->lengths += is_field(line, len, "content-length", 14);
		return;
	case 't':
		counts->codings += is_field(line, len, "transfer-encoding", 17);
		return;
	case 'h':
		counts->hosts += is_field(line, len, "host", 4);
		return;
	}
}

static enum framing judge(const struct counts *counts, bool is_http_1_0)
{
	if (counts->lengths + counts->codings > 1)
		return FRAMING_TWO_LENGTHS;
	if (counts->codings > 0 && is_http_1_0)
		return FRAMING_CODED_1_0;
	if (counts->hosts > 1 || (counts->hosts == 0 && !is_http_1_0))
		return FRAMING_HOSTS;
	return FRAMING_CLEAR;
}

enum framing framing_check(const char *bytes, size_t len, bool is_http_1_0)
{
	struct counts counts = {0};
	const char *at = bytes, *end = bytes + len;
	if (len >= 2 && memcmp(bytes, "\r\n", 2) == 0)
		at += 2; /* one empty line before a request is let pass (RFC 9112 section 2.2) */
	for (bool is_first = true;; is_first = false) {
		const char *feed = memchr(at, '\n', (size_t)(end - at));
		if (feed == NULL)
			return FRAMING_NO_END;
		if (feed == at || feed[-1] != '\r')
			return FRAMING_BARE_LINE_FEED;
		size_t line_len = (size_t)(feed - 1 - at);
		if (is_first && line_len > FRAMING_LINE_MAX)
			return FRAMING_LONG_LINE;
		if ((size_t)(feed + 1 - bytes) > FRAMING_HEAD_MAX)
			return FRAMING_LARGE_HEAD;
		if (line_len == 0)
			return judge(&counts, is_http_1_0);
		if (!is_first && (at[0] == ' ' || at[0] == '\t'))
			return FRAMING_FOLDED;
		if (!is_first)
			count_field(&counts, at, line_len);
		at = feed + 1;
	}
}

const char *framing_detail(enum framing framing)
{
	static const char *const details[] = {
		[FRAMING_CLEAR] = "",
		[FRAMING_BARE_LINE_FEED] = "A line of the request's head ends without a carriage return.",
		[FRAMING_FOLDED] = "A header field goes on in a second line.",
		[FRAMING_TWO_LENGTHS] = "The request says twice how long its body is.",
		[FRAMING_CODED_1_0] = "HTTP/1.0 has no Transfer-Encoding.",
		[FRAMING_HOSTS] = "The request needs one Host.",
		[FRAMING_NO_END] = "The request's head has no end.",
		[FRAMING_LONG_LINE] = "The request line is longer than 8192 bytes.",
		[FRAMING_LARGE_HEAD] = "The request's head is longer than 65536 bytes.",
	};
	return details[framing];
}
