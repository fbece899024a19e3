#include "common/pg/outbox_recent.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "tests/unit/unit.h"

#define BUILD "0190a1b2-c3d4-7e5f-8a9b-acbdcedfe0f1"

static const uint8_t hash[SHA256_SIZE] = {7, 8, 9};

static void add(struct outbox_recent *recent, int32_t sequence, const char *body, size_t body_len)
{
	const struct outbox_committed event = {.build_id = BUILD,
										   .sequence = sequence,
										   .type = "build.phase",
										   .hash = hash,
										   .body = body,
										   .body_len = body_len};
	outbox_recent_add(recent, &event, 1);
}

static bool take(struct outbox_recent *recent, int32_t sequence)
{
	struct outbox_recent_event *event = outbox_recent_take(recent, BUILD, sequence);
	if (event != NULL)
		outbox_recent_release(recent, event);
	return event != NULL;
}

TEST(an_event_is_given_once_as_it_was)
{
	struct outbox_recent *recent = outbox_recent_new();
	add(recent, 3, "{\"a\":1} and more", 7);
	assert_null(outbox_recent_take(recent, BUILD, 2));
	struct outbox_recent_event *event = outbox_recent_take(recent, BUILD, 3);
	assert_non_null(event);
	assert_string_equal(event->type, "build.phase");
	assert_string_equal(event->body, "{\"a\":1}");
	assert_int_equal(event->body_len, 7);
	assert_null(event->traceparent);
	assert_memory_equal(event->hash, hash, sizeof(hash));
	assert_null(outbox_recent_take(recent, BUILD, 3));
	outbox_recent_release(recent, event);
	outbox_recent_free(recent);
}

TEST(a_repeated_event_leaves_the_first)
{
	struct outbox_recent *recent = outbox_recent_new();
	add(recent, 1, "first", 5);
	add(recent, 1, "other", 5);
	struct outbox_recent_event *event = outbox_recent_take(recent, BUILD, 1);
	assert_string_equal(event->body, "first");
	outbox_recent_release(recent, event);
	assert_false(take(recent, 1));
	outbox_recent_free(recent);
}

TEST(of_too_many_bytes_the_oldest_are_forgotten)
{
	enum { BYTES = 1024 * 1024, COUNT = 12 };
	struct outbox_recent *recent = outbox_recent_new();
	char *body = calloc(1, BYTES);
	for (int32_t sequence = 1; sequence <= COUNT; sequence++)
		add(recent, sequence, body, BYTES);
	assert_false(take(recent, 1));
	assert_false(take(recent, 4));
	assert_true(take(recent, COUNT));
	free(body);
	outbox_recent_free(recent);
}

/* It is the relay's until it gives it back. */
TEST(an_event_that_is_in_use_is_not_forgotten)
{
	enum { BYTES = 1024 * 1024 };
	struct outbox_recent *recent = outbox_recent_new();
	char *body = calloc(1, BYTES);
	add(recent, 1, "in use", 6);
	struct outbox_recent_event *event = outbox_recent_take(recent, BUILD, 1);
	for (int32_t sequence = 2; sequence <= 12; sequence++)
		add(recent, sequence, body, BYTES);
	assert_string_equal(event->body, "in use");
	outbox_recent_release(recent, event);
	free(body);
	outbox_recent_free(recent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_given_once_as_it_was),
		cmocka_unit_test(a_repeated_event_leaves_the_first),
		cmocka_unit_test(of_too_many_bytes_the_oldest_are_forgotten),
		cmocka_unit_test(an_event_that_is_in_use_is_not_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
