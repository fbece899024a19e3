#include "api-gateway/http/prefer.h"

#include "api-gateway/http/field_list.h"

static int64_t read_seconds(struct slice text)
{
	if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"')
		text = (struct slice){text.data + 1, text.len - 2};
	int64_t seconds = text.len > 0 ? 0 : -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		seconds = seconds * 10 + (text.data[i] - '0');
		if (seconds > PREFER_WAIT_MAX)
			seconds = PREFER_WAIT_MAX;
	}
	return seconds;
}

int64_t prefer_wait(const char *value, size_t len)
{
	struct slice rest = {value, value != NULL ? len : 0};
	while (rest.len > 0) {
		struct slice preference = slice_next(&rest, ',', SLICE_QUOTES_HIDE);
		struct slice word = slice_next(&preference, ';', SLICE_QUOTES_HIDE); /* its parameters say nothing to us */
		struct slice name = slice_next(&word, '=', SLICE_QUOTES_HIDE);
		if (slice_equals(name, "wait"))
			return read_seconds(slice_trim(word));
	}
	return -1;
}
