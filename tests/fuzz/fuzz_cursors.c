/*
 * Cursors of lists, places of feeds and sequences of Last-Event-ID. A text that is read is the one text that the
 * gateway writes for what was read, and only one kind of list takes it; whatever the gateway writes is read as what it
 * was.
 */
#include "fuzz.h"

#include "api-gateway/lists/cursor.h"
#include "api-gateway/streams/feed_place.h"
#include "api-gateway/streams/sse.h"

static const enum cursor_kind kinds[] = {CURSOR_BUILDS,    CURSOR_PROJECTS, CURSOR_TOKENS,
										 CURSOR_TEMPLATES, CURSOR_WORKERS,  CURSOR_QUEUE,
										 CURSOR_EVENTS,    CURSOR_LOGS,     CURSOR_AUDIT};

static int rewrite_place(const char *text, enum cursor_kind kind, struct buffer *written, struct error *err)
{
	struct cursor_place place;
	char time[CLOCK_RFC3339_SIZE];
	int64_t wall_us;
	if (cursor_read_place(text, kind, &place, err) < 0)
		return -1;
	/* A time that Postgres reads is the one that we write for it. */
	CHECK(clock_parse_rfc3339(place.created_at, strlen(place.created_at), &wall_us) == 0);
	clock_format_rfc3339(wall_us, time);
	CHECK(strncmp(time, "0000", 4) != 0); /* Postgres has no such year */
	return cursor_append_place(written, kind, time, place.id);
}

static int rewrite_line(const char *text, enum cursor_kind kind, struct buffer *written, struct error *err)
{
	struct cursor_line line;
	if (cursor_read_line(text, kind, &line, err) < 0)
		return -1;
	uint8_t digest[(CURSOR_LINE_KEY_SIZE - 1) / 2];
	char key[CURSOR_LINE_KEY_SIZE];
	CHECK(hex_decode(line.key, strlen(line.key), digest, sizeof(digest)) == 0);
	hex_encode(digest, sizeof(digest), key);
	return cursor_append_line(written, kind, line.name, key);
}

static int rewrite_name(const char *text, enum cursor_kind kind, struct buffer *written, struct error *err)
{
	char name[64];
	return cursor_read_name(text, kind, name, err) < 0 ? -1 : cursor_append_name(written, kind, name);
}

static int rewrite_sequence(const char *text, enum cursor_kind kind, struct buffer *written, struct error *err)
{
	int64_t sequence;
	return cursor_read_sequence(text, kind, &sequence, err) < 0 ? -1 : cursor_append_sequence(written, kind, sequence);
}

static int rewrite(const char *text, enum cursor_kind kind, struct buffer *written, struct error *err)
{
	switch (kind) {
	case CURSOR_BUILDS:
	case CURSOR_PROJECTS:
	case CURSOR_TOKENS:
	case CURSOR_AUDIT:
		return rewrite_place(text, kind, written, err);
	case CURSOR_TEMPLATES:
	case CURSOR_WORKERS:
		return rewrite_name(text, kind, written, err);
	case CURSOR_QUEUE:
		return rewrite_line(text, kind, written, err);
	case CURSOR_EVENTS:
	case CURSOR_LOGS:
		return rewrite_sequence(text, kind, written, err);
	}
	return -1;
}

/* Whether a list of this kind takes the text; what it writes then is the text. */
static bool is_taken(const char *text, enum cursor_kind kind)
{
	struct error err = ERROR_INIT;
	CLEANUP(buffer_release_p) struct buffer written;
	buffer_init(&written, CURSOR_MAX);
	if (rewrite(text, kind, &written, &err) < 0) {
		check_message(&err);
		return false;
	}
	CHECK(str_equal(written.data, text));
	return true;
}

static void check_reading(const char *text)
{
	int taken = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		taken += is_taken(text, kinds[i]);
	CHECK(taken <= 1 && (taken == 0 || strlen(text) <= CURSOR_MAX));
}

static void check_feed_place(const char *text, size_t len)
{
	struct feed_place place;
	struct error err = ERROR_INIT;
	char written[FEED_PLACE_TEXT];
	if (feed_place_read(text, len, &place, &err) < 0) {
		check_message(&err);
		return;
	}
	feed_place_text(&place, written);
	CHECK(strlen(written) == len && memcmp(written, text, len) == 0);
}

static void check_sequence(const char *text, size_t len)
{
	int64_t sequence, again;
	struct error err = ERROR_INIT;
	char written[24];
	if (sse_read_sequence(text, len, &sequence, &err) < 0) {
		check_message(&err);
		return;
	}
	CHECK(sequence >= 0 && len > 0 && strspn(text, "0123456789") == len);
	int written_len = snprintf(written, sizeof(written), "%lld", (long long)sequence);
	CHECK(sse_read_sequence(written, (size_t)written_len, &again, &err) == 0 && again == sequence);
	CHECK(str_ends(text, written)); /* with zeros before it */
}

/* A cursor of each kind and two places, made of the bytes. */
static void check_writing(const uint8_t *data, size_t size)
{
	uint8_t bytes[2 * FEED_SLOTS * sizeof(int64_t)] = {0};
	memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
	struct feed_place a, b, both, read;
	memcpy(&a, bytes, sizeof(a));
	memcpy(&b, bytes + sizeof(a), sizeof(b));
	for (size_t i = 0; i < FEED_SLOTS; i++) {
		a.next[i] &= INT64_MAX;
		b.next[i] &= INT64_MAX;
	}
	char text[FEED_PLACE_TEXT];
	struct error err = ERROR_INIT;
	feed_place_text(&a, text);
	CHECK(feed_place_read(text, strlen(text), &read, &err) == 0 && memcmp(&read, &a, sizeof(a)) == 0);
	both = a;
	feed_place_merge(&both, &b);
	CHECK(feed_place_covers(&both, &a) && feed_place_covers(&both, &b));
	CHECK(feed_place_covers(&a, &b) == (memcmp(&both, &a, sizeof(a)) == 0));

	struct cursor_place place;
	char id[UUID_TEXT_SIZE], time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(a.next[0] % INT64_C(253402300800000000), time); /* up to the year 9999 */
	uuid_v8(bytes, id);
	CLEANUP(buffer_release_p) struct buffer written;
	buffer_init(&written, CURSOR_MAX);
	CHECK(cursor_append_place(&written, CURSOR_BUILDS, time, id) == 0);
	CHECK(cursor_read_place(written.data, CURSOR_BUILDS, &place, &err) == 0);
	CHECK(str_equal(place.created_at, time) && str_equal(place.id, id));
	int64_t sequence;
	buffer_clear(&written);
	CHECK(cursor_append_sequence(&written, CURSOR_LOGS, a.next[1]) == 0);
	CHECK(cursor_read_sequence(written.data, CURSOR_LOGS, &sequence, &err) == 0 && sequence == a.next[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *text = xcalloc(1, size + 1);
	if (size > 0)
		memcpy(text, data, size);
	check_reading(text);
	check_feed_place(text, size);
	check_sequence(text, size);
	/* The text in the clear, so that what is behind the encoding is reached at once. */
	CLEANUP(buffer_release_p) struct buffer encoded;
	buffer_init(&encoded, 2 * size + 4);
	CHECK(base64url_append(&encoded, text, size) == 0);
	check_reading(encoded.data);
	check_feed_place(encoded.data, encoded.len);
	check_writing(data, size);
	return 0;
}
