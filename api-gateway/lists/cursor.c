#include "api-gateway/lists/cursor.h"

#include "common/base/hash.h"
#include "common/base/str.h"

static int append(struct buffer *buf, enum cursor_kind kind, const char *key)
{
	char plain[160];
	int len = snprintf(plain, sizeof(plain), "%c%s", (char)kind, key);
	CHECK(len > 0 && (size_t)len < sizeof(plain));
	return base64url_append(buf, plain, (size_t)len);
}

int cursor_append_place(struct buffer *buf, enum cursor_kind kind, const char *created_at, const char *id)
{
	char key[CLOCK_RFC3339_SIZE + UUID_TEXT_SIZE];
	(void)snprintf(key, sizeof(key), "%s,%s", created_at, id); /* both have a fixed length */
	return append(buf, kind, key);
}

int cursor_append_name(struct buffer *buf, enum cursor_kind kind, const char *name)
{
	return append(buf, kind, name);
}

int cursor_append_line(struct buffer *buf, enum cursor_kind kind, const char *name, const char *key)
{
	char both[sizeof(struct cursor_line)];
	(void)snprintf(both, sizeof(both), "%s,%s", name, key); /* 63 and 32 characters at most */
	return append(buf, kind, both);
}

int cursor_append_sequence(struct buffer *buf, enum cursor_kind kind, int64_t sequence)
{
	char key[24];
	(void)snprintf(key, sizeof(key), "%lld", (long long)sequence); /* 20 characters at most */
	return append(buf, kind, key);
}

static int bad_cursor(struct error *err)
{
	return error_set(err, ERR_INVALID, "cursor is not one that this list gave");
}

/* Fills `plain` (the caller releases it) with the key after the kind letter at data + 1. */
static int decode(const char *text, enum cursor_kind kind, struct buffer *plain, struct error *err)
{
	size_t len = strlen(text);
	if (len == 0 || len > CURSOR_MAX)
		return bad_cursor(err);
	struct error reason = ERROR_INIT;
	if (base64url_decode(plain, text, len, &reason) < 0 || plain->len < 2 || plain->data[0] != (char)kind ||
		memchr(plain->data, '\0', plain->len) != NULL)
		return bad_cursor(err);
	return 0;
}

/* One spelling of each time, and none from before there were computers: Postgres fails at what RFC 3339 takes, the year
 * 0000. */
static bool is_our_time(const char *text, size_t len)
{
	int64_t wall_us;
	char written[CLOCK_RFC3339_SIZE];
	if (clock_parse_rfc3339(text, len, &wall_us) < 0 || wall_us < 0)
		return false;
	clock_format_rfc3339(wall_us, written);
	return memcmp(written, text, len) == 0;
}

int cursor_read_place(const char *text, enum cursor_kind kind, struct cursor_place *ret, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer plain;
	buffer_init(&plain, CURSOR_MAX);
	if (decode(text, kind, &plain, err) < 0)
		return -1;
	const size_t time_len = CLOCK_RFC3339_SIZE - 1, id_len = UUID_TEXT_SIZE - 1;
	const char *key = plain.data + 1;
	if (plain.len != 1 + time_len + 1 + id_len || key[time_len] != ',' || !is_our_time(key, time_len) ||
		!uuid_is_valid(key + time_len + 1, id_len))
		return bad_cursor(err);
	memcpy(ret->created_at, key, time_len);
	ret->created_at[time_len] = '\0';
	memcpy(ret->id, key + time_len + 1, id_len + 1);
	return 0;
}

int cursor_read_name(const char *text, enum cursor_kind kind, char ret[64], struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer plain;
	buffer_init(&plain, CURSOR_MAX);
	if (decode(text, kind, &plain, err) < 0)
		return -1;
	if (!str_is_name(plain.data + 1, plain.len - 1))
		return bad_cursor(err);
	memcpy(ret, plain.data + 1, plain.len); /* with the NUL; a name has at most 63 characters */
	return 0;
}

int cursor_read_line(const char *text, enum cursor_kind kind, struct cursor_line *ret, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer plain;
	buffer_init(&plain, CURSOR_MAX);
	if (decode(text, kind, &plain, err) < 0)
		return -1;
	const size_t key_len = CURSOR_LINE_KEY_SIZE - 1;
	const char *name = plain.data + 1, *comma = memchr(name, ',', plain.len - 1);
	if (comma == NULL || !str_is_name(name, (size_t)(comma - name)) || strlen(comma + 1) != key_len ||
		!str_is_hex(comma + 1, key_len))
		return bad_cursor(err);
	memcpy(ret->name, name, (size_t)(comma - name)); /* 63 characters at most */
	ret->name[comma - name] = '\0';
	memcpy(ret->key, comma + 1, key_len + 1);
	return 0;
}

int cursor_read_sequence(const char *text, enum cursor_kind kind, int64_t *ret, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer plain;
	buffer_init(&plain, CURSOR_MAX);
	if (decode(text, kind, &plain, err) < 0)
		return -1;
	struct error reason = ERROR_INIT;
	bool padded = plain.data[1] == '0' && plain.len > 2;
	if (padded || str_parse_int(plain.data + 1, plain.len - 1, 0, INT64_MAX, ret, &reason) < 0)
		return bad_cursor(err);
	return 0;
}

void cursor_tag(const void *name, size_t len, char ret[CURSOR_TAG_SIZE])
{
	uint8_t hash[SHA256_SIZE];
	sha256(name, len, hash);
	hex_encode(hash, CURSOR_TAG_SIZE / 2, ret);
}

int cursor_append_tag(struct buffer *buf, const char *tag)
{
	return buffer_append_char(buf, '.') == 0 ? buffer_append_str(buf, tag) : -1;
}

int cursor_take_tag(char *text, const char *tag, struct error *err)
{
	char *dot = strchr(text, '.');
	if (dot == NULL || strlen(dot + 1) != CURSOR_TAG_SIZE - 1)
		return bad_cursor(err);
	if (!str_equal(dot + 1, tag))
		return error_set(err, ERR_INVALID, "cursor is of another list, or of this one with other filters");
	*dot = '\0';
	return 0;
}
