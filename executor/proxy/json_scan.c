#include "executor/proxy/json_scan.h"

#include <string.h>
#include <strings.h>

void json_scan_init(struct json_scan *scan, const struct json_scan_key *keys, size_t keys_len)
{
	CHECK(keys_len <= JSON_SCAN_KEYS);
	*scan = (struct json_scan){.keys = keys, .keys_len = keys_len};
	for (size_t i = 0; i < keys_len; i++)
		buffer_init(&scan->values[i], keys[i].max_bytes);
	json_scan_reset(scan);
}

void json_scan_release(struct json_scan *scan)
{
	for (size_t i = 0; i < scan->keys_len; i++)
		buffer_release(&scan->values[i]);
}

void json_scan_reset(struct json_scan *scan)
{
	for (size_t i = 0; i < scan->keys_len; i++) {
		buffer_clear(&scan->values[i]);
		scan->seen[i] = false;
	}
	scan->odd = scan->done = scan->none = false;
	scan->depth = 0;
	scan->in_string = scan->escaped = scan->in_key = scan->wants_key = false;
	scan->key_len = 0;
	scan->current = -1;
}

/* Bytes that belong to the key or the value under way. */
static void keep(struct json_scan *scan, const char *data, size_t len)
{
	if (scan->in_key) {
		size_t room = sizeof(scan->key) - scan->key_len;
		memcpy(scan->key + scan->key_len, data, len < room ? len : room);
		scan->key_len += len < room ? len : room; /* full: longer than any that is wanted */
	} else if (scan->current >= 0) {
		(void)buffer_append(&scan->values[scan->current], data, len); /* json_scan_value looks whether it fitted */
	}
}

static void take_key(struct json_scan *scan)
{
	for (size_t i = 0; i < scan->keys_len; i++) {
		const char *name = scan->keys[i].name;
		if (scan->key_len != strlen(name) || strncasecmp(scan->key, name, scan->key_len) != 0)
			continue;
		if (memcmp(scan->key, name, scan->key_len) != 0) {
			scan->odd = true;
			continue;
		}
		scan->odd = scan->odd || scan->seen[i];
		scan->seen[i] = true;
		scan->current = (int)i;
		buffer_clear(&scan->values[i]);
	}
}

/* Inside of a string: up to its end or the end of the data; returns how many bytes that was. */
static size_t scan_string(struct json_scan *scan, const char *data, size_t len)
{
	size_t at = 0;
	const char *quote = NULL;
	while (at < len) {
		if (scan->escaped) {
			scan->escaped = false;
			at++;
			continue;
		}
		if (quote == NULL || quote < data + at)
			quote = memchr(data + at, '"', len - at);
		size_t end = quote != NULL ? (size_t)(quote - data) : len;
		const char *backslash = memchr(data + at, '\\', end - at);
		if (backslash == NULL) {
			if (quote == NULL)
				return len;
			scan->in_string = false;
			return end + 1;
		}
		scan->escaped = true;
		scan->odd = scan->odd || scan->in_key;
		at = (size_t)(backslash - data) + 1;
	}
	return len;
}

/* A byte outside of strings at the outermost object's own level. False: it belongs to no value. */
static bool step_outermost(struct json_scan *scan, char c)
{
	if (c == '}' || c == ']') {
		scan->depth = 0;
		scan->done = true;
		scan->current = -1;
		return false;
	}
	if (c == ',') {
		scan->wants_key = true;
		scan->current = -1;
		return false;
	}
	if (c == ':' && scan->current < 0) {
		take_key(scan);
		return false;
	}
	return true;
}

static void step(struct json_scan *scan, char c)
{
	bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
	if (blank)
		return;
	if (c < ' ' || c > '~') /* also what is above, whichever sign a char has */
		scan->odd = true;
	if (scan->depth == 0) {
		scan->none = c != '{';
		scan->depth = 1;
		scan->wants_key = true;
		return;
	}
	if (c == '"') {
		scan->in_string = true;
		scan->in_key = scan->depth == 1 && scan->wants_key;
		if (scan->in_key)
			scan->key_len = 0;
		else
			keep(scan, &c, 1);
		scan->wants_key = false;
		return;
	}
	if (scan->depth == 1 && !step_outermost(scan, c))
		return;
	if (c == '{' || c == '[')
		scan->depth++;
	else if (c == '}' || c == ']')
		scan->depth--;
	keep(scan, &c, 1);
}

void json_scan_add(struct json_scan *scan, const char *data, size_t len)
{
	while (len > 0 && !scan->done && !scan->none) {
		size_t part = 1;
		if (scan->in_string) {
			part = scan_string(scan, data, len);
			bool ended = !scan->in_string;
			keep(scan, data, part - (ended && scan->in_key ? 1 : 0)); /* a key is kept without its quotes */
			if (ended)
				scan->in_key = false;
		} else {
			step(scan, *data);
		}
		data += part;
		len -= part;
	}
}

const char *json_scan_value(const struct json_scan *scan, size_t key, size_t *ret_len)
{
	const struct buffer *value = &scan->values[key];
	if (!scan->seen[key] || !buffer_ok(value) || value->len == 0)
		return NULL;
	*ret_len = value->len;
	return value->data;
}
