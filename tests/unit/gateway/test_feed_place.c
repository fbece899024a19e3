#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/streams/feed_place.h"
#include "common/base/str.h"

static struct feed_place some_place(void)
{
	struct feed_place place = {{0}};
	place.next[0] = INT64_MAX;
	place.next[1] = 127;
	place.next[2] = 128;
	place.next[FEED_SLOTS - 1] = 1234567890123;
	return place;
}

static int read_text(const char *text, struct feed_place *ret)
{
	struct error err = ERROR_INIT;
	return feed_place_read(text, strlen(text), ret, &err);
}

TEST(a_place_comes_back_from_its_text)
{
	struct feed_place place = some_place(), found;
	char text[FEED_PLACE_TEXT];
	feed_place_text(&place, text);
	assert_int_equal(read_text(text, &found), 0);
	assert_memory_equal(&place, &found, sizeof(place));
}

TEST(the_longest_place_has_room)
{
	struct feed_place place, found;
	for (size_t i = 0; i < FEED_SLOTS; i++)
		place.next[i] = INT64_MAX - (int64_t)i;
	char text[FEED_PLACE_TEXT];
	feed_place_text(&place, text);
	assert_int_equal(read_text(text, &found), 0);
	assert_memory_equal(&place, &found, sizeof(place));
}

static void refuse_bytes(const void *bytes, size_t len)
{
	struct feed_place found;
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 1024);
	assert_int_equal(base64url_append(&text, bytes, len), 0);
	assert_int_equal(read_text(text.data, &found), -1);
}

TEST(what_was_never_an_id_is_refused)
{
	struct feed_place found;
	static const char *const wrong[] = {"", "7", "x", "AQ", "====", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+", "a b"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(read_text(wrong[i], &found), -1);
	uint8_t bytes[64] = {1};
	refuse_bytes(bytes, FEED_SLOTS);     /* one offset is missing */
	refuse_bytes(bytes, FEED_SLOTS + 2); /* one too many */
	bytes[0] = 2;                        /* another version */
	refuse_bytes(bytes, FEED_SLOTS + 1);
	bytes[0] = 1;
	bytes[1] = 0x80; /* zero in two bytes: another spelling */
	bytes[2] = 0;
	refuse_bytes(bytes, FEED_SLOTS + 2);
	memset(bytes + 1, 0xFF, 10); /* more than 63 bits */
	refuse_bytes(bytes, FEED_SLOTS + 10);
	char longer[FEED_PLACE_TEXT + 1];
	memset(longer, 'A', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(read_text(longer, &found), -1);
}

TEST(a_merge_takes_the_later_of_both)
{
	struct feed_place a = {{5, 1}}, b = {{3, 9}};
	feed_place_merge(&a, &b);
	assert_int_equal(a.next[0], 5);
	assert_int_equal(a.next[1], 9);
}

TEST(a_place_covers_another_that_is_nowhere_behind_it)
{
	struct feed_place a = {{5, 5}}, same = a, less = {{5, 4}}, mixed = {{9, 4}};
	assert_true(feed_place_covers(&a, &same));
	assert_true(feed_place_covers(&a, &less));
	assert_false(feed_place_covers(&less, &a));
	assert_false(feed_place_covers(&a, &mixed));
	assert_false(feed_place_covers(&mixed, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_comes_back_from_its_text),
		cmocka_unit_test(the_longest_place_has_room),
		cmocka_unit_test(what_was_never_an_id_is_refused),
		cmocka_unit_test(a_merge_takes_the_later_of_both),
		cmocka_unit_test(a_place_covers_another_that_is_nowhere_behind_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
