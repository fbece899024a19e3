#include "json_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"

#define DEPTH_MAX 32
#define NUMBER_MAX 63

struct text {
	const uint8_t *at, *end;
};

/* A key as the code points that it means. */
struct key {
	uint32_t *points;
	size_t len;
};

static bool read_value(struct text *text, int depth);

static int peek(const struct text *text)
{
	return text->at < text->end ? *text->at : -1;
}

static bool take(struct text *text, int byte)
{
	if (peek(text) != byte)
		return false;
	text->at++;
	return true;
}

static bool take_word(struct text *text, const char *word)
{
	for (; *word != '\0'; word++) {
		if (!take(text, *word))
			return false;
	}
	return true;
}

static void skip_blanks(struct text *text)
{
	while (take(text, ' ') || take(text, '\t') || take(text, '\n') || take(text, '\r'))
		continue;
}

/* A code point of UTF-8 by the arithmetic of its bits, or -1. */
static int32_t read_utf8(struct text *text)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	int first = *text->at++;
	int bytes = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
	if (bytes == 0)
		return -1;
	int32_t point = bytes == 1 ? first : first & (0x7F >> bytes);
	for (int i = 1; i < bytes; i++) {
		if (peek(text) < 0 || (peek(text) & 0xC0) != 0x80)
			return -1;
		point = point << 6 | (*text->at++ & 0x3F);
	}
	bool surrogate = point >= 0xD800 && point <= 0xDFFF;
	return point < least[bytes] || surrogate || point > 0x10FFFF ? -1 : point;
}

static int32_t read_unit(struct text *text)
{
	int32_t unit = 0;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef0123456789ABCDEF";
		int byte = peek(text);
		const char *digit = byte > 0 ? strchr(digits, byte) : NULL;
		if (digit == NULL)
			return -1;
		unit = unit * 16 + (int32_t)((digit - digits) % 16);
		text->at++;
	}
	return unit;
}

/* After the backslash. */
static int32_t read_escape(struct text *text)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	int byte = peek(text);
	const char *name = byte > 0 ? strchr(names, byte) : NULL;
	if (byte < 0)
		return -1;
	text->at++;
	if (name != NULL)
		return meanings[name - names];
	if (byte != 'u')
		return -1;
	int32_t high = read_unit(text);
	if (high < 0xD800 || high > 0xDFFF)
		return high;
	if (high > 0xDBFF || !take_word(text, "\\u"))
		return -1;
	int32_t low = read_unit(text);
	return low < 0xDC00 || low > 0xDFFF ? -1 : 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00);
}

/* `key`: room for as many code points as the text has bytes; NULL when nobody wants them. */
static bool read_string(struct text *text, struct key *key)
{
	if (!take(text, '"'))
		return false;
	while (peek(text) >= 0 && peek(text) != '"') {
		if (peek(text) < 0x20)
			return false;
		int32_t point = take(text, '\\') ? read_escape(text) : read_utf8(text);
		if (point <= 0)
			return false;
		if (key != NULL)
			key->points[key->len++] = (uint32_t)point;
	}
	return take(text, '"');
}

static bool read_digits(struct text *text)
{
	const uint8_t *first = text->at;
	while (peek(text) >= '0' && peek(text) <= '9')
		text->at++;
	return text->at > first;
}

static bool read_number(struct text *text)
{
	const uint8_t *first = text->at;
	(void)take(text, '-'); /* optional */
	if (!take(text, '0') && !read_digits(text))
		return false;
	if (take(text, '.') && !read_digits(text))
		return false;
	if (take(text, 'e') || take(text, 'E')) {
		if (!take(text, '+'))
			(void)take(text, '-'); /* optional */
		if (!read_digits(text))
			return false;
	}
	char copy[NUMBER_MAX + 1] = "";
	size_t len = (size_t)(text->at - first);
	if (len > NUMBER_MAX)
		return false;
	memcpy(copy, first, len);
	return isfinite(strtod(copy, NULL)) != 0;
}

static bool read_array(struct text *text, int depth)
{
	skip_blanks(text);
	if (take(text, ']'))
		return true;
	do {
		if (!read_value(text, depth))
			return false;
	} while (take(text, ','));
	return take(text, ']');
}

static bool is_among(const struct key *key, const struct key *others, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (others[i].len == key->len && memcmp(others[i].points, key->points, key->len * sizeof(uint32_t)) == 0)
			return true;
	}
	return false;
}

static bool read_member(struct text *text, int depth, struct key *keys, size_t *count)
{
	struct key *key = &keys[*count];
	skip_blanks(text);
	*key = (struct key){.points = xcalloc((size_t)(text->end - text->at) + 1, sizeof(uint32_t))};
	(*count)++;
	if (!read_string(text, key) || is_among(key, keys, *count - 1))
		return false;
	skip_blanks(text);
	return take(text, ':') && read_value(text, depth);
}

static bool read_object(struct text *text, int depth)
{
	skip_blanks(text);
	if (take(text, '}'))
		return true;
	struct key *keys = xcalloc((size_t)(text->end - text->at) + 1, sizeof(*keys));
	size_t count = 0;
	bool good;
	do {
		good = read_member(text, depth, keys, &count);
	} while (good && take(text, ','));
	good = good && take(text, '}');
	for (size_t i = 0; i < count; i++)
		free(keys[i].points);
	free(keys);
	return good;
}

/* With the blanks around it. */
static bool read_value(struct text *text, int depth)
{
	skip_blanks(text);
	bool good;
	if (take(text, '{'))
		good = depth < DEPTH_MAX && read_object(text, depth + 1);
	else if (take(text, '['))
		good = depth < DEPTH_MAX && read_array(text, depth + 1);
	else if (peek(text) == '"')
		good = read_string(text, NULL);
	else if (peek(text) == 't')
		good = take_word(text, "true");
	else if (peek(text) == 'f')
		good = take_word(text, "false");
	else if (peek(text) == 'n')
		good = take_word(text, "null");
	else
		good = read_number(text);
	skip_blanks(text);
	return good;
}

bool json_reference_accepts(const uint8_t *data, size_t size)
{
	struct text text = {data, data + size};
	return read_value(&text, 0) && text.at == text.end;
}
