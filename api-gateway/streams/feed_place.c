#include "api-gateway/streams/feed_place.h"

#include <string.h>

#include "common/base/buffer.h"
#include "common/base/str.h"

#define VERSION 1
#define BYTES_MAX (1 + FEED_SLOTS * 10)

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static size_t put_number(uint8_t *at, uint64_t number)
{
	size_t len = 0;
	do {
		at[len++] = (uint8_t)((number & 0x7F) | (number > 0x7F ? 0x80 : 0));
		number >>= 7;
	} while (number > 0);
	return len;
}

/* 0 when there is no number in its shortest form. */
static size_t take_number(const uint8_t *at, size_t len, int64_t *ret)
{
	uint64_t number = 0;
	for (size_t i = 0; i < len && i < 9; i++) {
		number |= (uint64_t)(at[i] & 0x7F) << (7 * i);
		if ((at[i] & 0x80) != 0)
			continue;
		if (at[i] == 0 && i > 0)
			return 0;
		*ret = (int64_t)number; /* 63 bits */
		return i + 1;
	}
	return 0;
}

void feed_place_text(const struct feed_place *place, char ret[FEED_PLACE_TEXT])
{
	uint8_t bytes[BYTES_MAX] = {VERSION};
	size_t len = 1;
	for (size_t i = 0; i < FEED_SLOTS; i++)
		len += put_number(bytes + len, (uint64_t)place->next[i]);
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, FEED_PLACE_TEXT);
	CHECK(base64url_append(&text, bytes, len) == 0 && text.len < FEED_PLACE_TEXT);
	memcpy(ret, text.data, text.len + 1);
}

static int decode(const struct buffer *bytes, struct feed_place *ret_place)
{
	const uint8_t *at = (const uint8_t *)bytes->data, *end = at + bytes->len;
	if (bytes->len == 0 || *at++ != VERSION)
		return -1;
	struct feed_place place;
	for (size_t i = 0; i < FEED_SLOTS; i++) {
		size_t len = take_number(at, (size_t)(end - at), &place.next[i]);
		if (len == 0)
			return -1;
		at += len;
	}
	if (at != end)
		return -1;
	*ret_place = place;
	return 0;
}

int feed_place_read(const char *text, size_t len, struct feed_place *ret_place, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer bytes;
	buffer_init(&bytes, FEED_PLACE_TEXT);
	struct error reason = ERROR_INIT;
	if (len >= FEED_PLACE_TEXT || base64url_decode(&bytes, text, len, &reason) < 0 || decode(&bytes, ret_place) < 0)
		return error_set(err, ERR_INVALID, "Last-Event-ID is not an id of this stream");
	return 0;
}

void feed_place_merge(struct feed_place *place, const struct feed_place *other)
{
	for (size_t i = 0; i < FEED_SLOTS; i++) {
		if (other->next[i] > place->next[i])
			place->next[i] = other->next[i];
	}
}

bool feed_place_covers(const struct feed_place *place, const struct feed_place *other)
{
	for (size_t i = 0; i < FEED_SLOTS; i++) {
		if (place->next[i] < other->next[i])
			return false;
	}
	return true;
}
