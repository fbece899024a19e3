#include "api-gateway/prefer.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct part {
	const char *text;
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct part trim(struct part part)
{
	while (part.len > 0 && is_blank(*part.text)) {
		part.text++;
		part.len--;
	}
	while (part.len > 0 && is_blank(part.text[part.len - 1]))
		part.len--;
	return part;
}

/* Takes what comes before `separator` off *rest; a separator in quotes is none. */
static struct part next_part(struct part *rest, char separator)
{
	bool quoted = false;
	size_t len = 0;
	for (; len < rest->len && (quoted || rest->text[len] != separator); len++) {
		if (rest->text[len] == '"')
			quoted = !quoted;
		else if (quoted && rest->text[len] == '\\' && len + 1 < rest->len)
			len++;
	}
	struct part part = {rest->text, len};
	size_t taken = len < rest->len ? len + 1 : len;
	rest->text += taken;
	rest->len -= taken;
	return trim(part);
}

static int64_t read_seconds(struct part text)
{
	if (text.len >= 2 && text.text[0] == '"' && text.text[text.len - 1] == '"')
		text = (struct part){text.text + 1, text.len - 2};
	int64_t seconds = text.len > 0 ? 0 : -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.text[i] < '0' || text.text[i] > '9')
			return -1;
		seconds = seconds * 10 + (text.text[i] - '0');
		if (seconds > PREFER_WAIT_MAX)
			seconds = PREFER_WAIT_MAX;
	}
	return seconds;
}

int64_t prefer_wait(const char *value, size_t len)
{
	struct part rest = {value, value != NULL ? len : 0};
	while (rest.len > 0) {
		struct part preference = next_part(&rest, ',');
		struct part word = next_part(&preference, ';'); /* its parameters say nothing to us */
		struct part name = next_part(&word, '=');
		if (name.len == 4 && strncasecmp(name.text, "wait", 4) == 0)
			return read_seconds(trim(word));
	}
	return -1;
}
