#include "common/base/utf8.h"
#include "common/json/json_internal.h"

#include <math.h>

#define MAX_LEVELS 64

/* Everywhere below a full buffer is not looked at: buffer_ok tells the caller at the end. */

void json_writer_init(struct json_writer *w, struct buffer *buf)
{
	*w = (struct json_writer){.buf = buf};
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_control(struct buffer *buf, char c)
{
	static const char digits[] = "0123456789abcdef";
	static const char letters[] = "\"\"\\\\\bb\tt\nn\ff\rr";
	char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4 & 15], digits[c & 15]};
	for (const char *pair = letters; *pair != '\0'; pair += 2) {
		if (c == pair[0]) {
			escape[1] = pair[1];
			(void)buffer_append(buf, escape, 2);
			return;
		}
	}
	(void)buffer_append(buf, escape, sizeof(escape));
}

/* Whether eight bytes need no escape and are ASCII: none is below 0x20, a quote, a backslash or above
 * 0x7F. */
static bool is_plain_word(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
	uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
	/* x - ones borrows into a byte's high bit where x is 0 (bytes above 0x7F are seen by `word` itself). */
	return (((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & high) == 0;
}

static uint64_t word_at(const char *text)
{
	uint64_t word;
	memcpy(&word, text, sizeof(word));
	return word;
}

static uint32_t half_at(const char *text)
{
	uint32_t half;
	memcpy(&half, text, sizeof(half));
	return half;
}

static size_t plain_len(const char *text, size_t len)
{
	size_t at = 0;
	while (len - at >= sizeof(uint64_t) && is_plain_word(word_at(text + at)))
		at += sizeof(uint64_t);
	while (at < len && is_plain((unsigned char)text[at]))
		at++;
	return at;
}

static void put_escaped(struct buffer *buf, const char *text, size_t len)
{
	(void)buffer_append_char(buf, '"');
	size_t at = 0, from = 0;
	while ((at += plain_len(text + at, len - at)) < len) {
		size_t step = text[at] == '\0' ? 0 : utf8_sequence_len(text + at, len - at);
		if (step > 1) {
			at += step;
			continue;
		}
		(void)buffer_append(buf, text + from, at - from);
		if (step == 0)
			(void)buffer_append(buf, "\xEF\xBF\xBD", 3); /* U+FFFD */
		else
			put_control(buf, text[at]);
		from = ++at;
	}
	(void)buffer_append(buf, text + from, at - from);
	(void)buffer_append_char(buf, '"');
}

/* A text in quotes that needs no escape, into memory that is there; NULL: it needs one. */
static char *copy_quoted(char *out, const char *text, size_t len)
{
	size_t at = 0;
	*out++ = '"';
	/* The last ones are taken with some that are there already. */
	while (len - at >= sizeof(uint64_t) || (at > 0 && at < len)) {
		if (len - at < sizeof(uint64_t))
			at = len - sizeof(uint64_t);
		if (!is_plain_word(word_at(text + at)))
			return NULL;
		memcpy(out + at, text + at, sizeof(uint64_t));
		at += sizeof(uint64_t);
	}
	if (at == 0 && len >= sizeof(uint32_t)) {
		size_t last = len - sizeof(uint32_t);
		if (!is_plain_word((uint64_t)half_at(text) << 32 | half_at(text + last)))
			return NULL;
		memcpy(out, text, sizeof(uint32_t));
		memcpy(out + last, text + last, sizeof(uint32_t));
		at = len;
	}
	for (; at < len; at++) {
		if (!is_plain((unsigned char)text[at]))
			return NULL;
		out[at] = text[at];
	}
	out[len] = '"';
	return out + len + 1;
}

/* Most texts, and all keys of ours, need no escape: comma, key and value then go in at once. False: nothing was
 * written, for one of them needs an escape or the buffer has no room for more than they might take. */
static bool put_at_once(const struct json_writer *w, const char *key, const char *value, size_t len, bool quoted)
{
	size_t key_len = key != NULL ? strlen(key) : 0;
	char *begin = buffer_reserve(w->buf, key_len + len + sizeof(",\"\":\"\"")), *out = begin;
	if (out == NULL)
		return false;
	if (w->need_comma)
		*out++ = ',';
	if (key != NULL) {
		out = copy_quoted(out, key, key_len);
		if (out == NULL)
			return false;
		*out++ = ':';
	}
	if (quoted) {
		out = copy_quoted(out, value, len);
		if (out == NULL)
			return false;
	} else {
		memcpy(out, value, len);
		out += len;
	}
	buffer_commit(w->buf, (size_t)(out - begin));
	return true;
}

static void put_value(struct json_writer *w, const char *key, const char *value, size_t len, bool quoted)
{
	CHECK((key != NULL) == ((w->objects & 1) != 0));
	CHECK(w->depth > 0 || !w->need_comma); /* one value at the top */
	if (!put_at_once(w, key, value, len, quoted)) {
		if (w->need_comma)
			(void)buffer_append_char(w->buf, ',');
		if (key != NULL) {
			put_escaped(w->buf, key, strlen(key));
			(void)buffer_append_char(w->buf, ':');
		}
		if (quoted)
			put_escaped(w->buf, value, len);
		else
			(void)buffer_append(w->buf, value, len);
	}
	w->need_comma = true;
}

static void open_level(struct json_writer *w, const char *key, bool object)
{
	CHECK(w->depth < MAX_LEVELS);
	put_value(w, key, object ? "{" : "[", 1, false);
	w->objects = w->objects << 1 | object;
	w->depth++;
	w->need_comma = false;
}

static void close_level(struct json_writer *w, bool object)
{
	CHECK(w->depth > 0 && ((w->objects & 1) != 0) == object);
	w->objects >>= 1;
	w->depth--;
	w->need_comma = true;
	(void)buffer_append_char(w->buf, object ? '}' : ']');
}

void json_object_begin(struct json_writer *w, const char *key)
{
	open_level(w, key, true);
}

void json_object_end(struct json_writer *w)
{
	close_level(w, true);
}

void json_array_begin(struct json_writer *w, const char *key)
{
	open_level(w, key, false);
}

void json_array_end(struct json_writer *w)
{
	close_level(w, false);
}

void json_string(struct json_writer *w, const char *key, const char *text)
{
	if (text == NULL)
		json_null(w, key);
	else
		json_string_len(w, key, text, strlen(text));
}

void json_string_len(struct json_writer *w, const char *key, const char *text, size_t len)
{
	put_value(w, key, text, len, true);
}

void json_int(struct json_writer *w, const char *key, int64_t value)
{
	char text[JSON_NUMBER_SIZE];
	size_t len = json_format_int(value, text);
	json_raw_len(w, key, text, len);
}

void json_double(struct json_writer *w, const char *key, double value)
{
	char text[JSON_NUMBER_SIZE];
	if (!isfinite(value)) {
		json_null(w, key);
		return;
	}
	size_t len = json_format_double(value, text);
	json_raw_len(w, key, text, len);
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
	json_raw(w, key, value ? "true" : "false");
}

void json_null(struct json_writer *w, const char *key)
{
	json_raw_len(w, key, "null", 4);
}

void json_raw(struct json_writer *w, const char *key, const char *json)
{
	if (json == NULL)
		json = "null";
	json_raw_len(w, key, json, strlen(json));
}

void json_raw_len(struct json_writer *w, const char *key, const char *json, size_t len)
{
	put_value(w, key, json, len, false);
}
