#include "migrate/published_event.h"
#include "tests/unit/unit.h"

#include <string.h>

#define BUILD "10000000-0000-4000-8000-000000000000"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* In front of "phase", and behind it. */
#define HEAD "{\"attempt\":1,\"build_id\":\"" BUILD "\",\"metadata\":{}"
#define TAIL "\"sequence\":2,\"status\":\"running\"}"
#define STARTED HEAD ",\"mode\":\"run\",\"phase\":\"preparing\"," TAIL

static struct cloudevent_in event_with(const char *time, const char *hash)
{
	struct cloudevent_in event = {.type = "build.started", .subject = BUILD, .sequence = 2};
	(void)snprintf(event.time, sizeof(event.time), "%s", time);
	(void)snprintf(event.hash, sizeof(event.hash), "%s", hash);
	return event;
}

static int check(struct cloudevent_in event, const char *value, size_t len, char *ret_time)
{
	char time[CLOCK_RFC3339_SIZE] = "untouched";
	struct error err = ERROR_INIT;
	int rc = published_event_check(&event, value, len, time, &err);
	if (rc < 0) {
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(time, "untouched");
	}
	if (ret_time != NULL)
		memcpy(ret_time, time, sizeof(time));
	return rc;
}

static int check_value(const char *value, size_t len)
{
	return check(event_with("2026-01-01T00:00:00.000000Z", HASH), value, len, NULL);
}

TEST(what_the_build_service_publishes_is_an_event)
{
	static const char *const events[] = {
		STARTED,
		HEAD ",\"phase\":\"queued\",\"reason\":\"lease_expired\",\"sequence\":2,\"status\":\"pending\"}",
		HEAD ",\"phase\":null,\"result\":{\"commit_sha\":null},\"sequence\":2,\"status\":\"completed\"}",
		"{\"attempt\":1,\"base_sha\":null,\"branch\":null,\"build_id\":\"" BUILD
		"\",\"metadata\":{\"a\":1.5},\"phase\":\"agent\",\"sandbox\":\"bwrap\"," TAIL,
		HEAD ",\"phase\":\"assigned\",\"sequence\":2,\"status\":\"pending\",\"worker_id\":\"" BUILD "\"}",
		HEAD ",\"phase\":\"agent\",\"sequence\":2,\"status\":\"running\",\"zero\":{\"of a later version\":[]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (check_value(events[i], strlen(events[i])) < 0)
			fail_msg("%s was refused", events[i]);
	}
}

TEST(a_value_that_postgres_would_fail_on_is_no_event)
{
	static const char *const values[] = {
		"",
		"not json",
		"[]",
		"null",
		"\"text\"",
		HEAD ",\"a\":\"\\u0000\",\"phase\":\"agent\"," TAIL,
		HEAD ",\"a\":\"\xff\",\"phase\":\"agent\"," TAIL,
		HEAD ",\"a\":\"\\ud800\",\"phase\":\"agent\"," TAIL,
		HEAD ",\"phase\":\"agent\"," TAIL " ",
		"{\"attempt\":1.0,\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
		"{\"attempt\":\"1\",\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
		"{\"attempt\":2147483648,\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
		"{\"attempt\":-1,\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
		"{\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
		"{\"attempt\":1,\"build_id\":\"20000000-0000-4000-8000-000000000000\",\"phase\":\"agent\"," TAIL,
		HEAD ",\"phase\":\"agent\",\"sequence\":3,\"status\":\"running\"}",
		HEAD ",\"phase\":\"queued\"," TAIL,
		HEAD ",\"phase\":\"agent\",\"sequence\":2,\"status\":\"completed\"}",
		HEAD ",\"phase\":{}," TAIL,
		HEAD ",\"phase\":\"agent\",\"sequence\":2,\"status\":7}",
		HEAD ",\"mode\":\"walk\",\"phase\":\"agent\"," TAIL,
		HEAD ",\"phase\":\"agent\",\"result\":null," TAIL,
		HEAD ",\"phase\":\"agent\",\"sequence\":2,\"status\":\"running\",\"worker_id\":\"me\"}",
		HEAD ",\"phase\":\"agent\",\"reason\":[]," TAIL,
		"{\"attempt\":1,\"branch\":7,\"build_id\":\"" BUILD "\",\"phase\":\"agent\"," TAIL,
	};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (check_value(values[i], strlen(values[i])) == 0)
			fail_msg("%s was taken", values[i]);
	}
	assert_int_equal(check_value(NULL, 0), -1);
	assert_int_equal(check_value("\0", 1), -1);
}

TEST(a_branch_that_no_index_takes_is_no_event)
{
	char value[4096];
	int len =
		snprintf(value, sizeof(value),
				 "{\"attempt\":1,\"branch\":\"%03000d\",\"build_id\":\"%s\",\"phase\":\"agent\",%s", 7, BUILD, TAIL);
	assert_int_equal(check_value(value, (size_t)len), -1);
}

TEST(attributes_that_postgres_would_fail_on_are_no_events)
{
	static const char *const times[] = {"", "yesterday", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z"};
	static const char *const hashes[] = {"", "01", HASH "01",
										 "x123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
	struct cloudevent_in event;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		assert_int_equal(check(event_with(times[i], HASH), STARTED, sizeof(STARTED) - 1, NULL), -1);
	for (size_t i = 0; i < ARRAY_LEN(hashes) && strlen(hashes[i]) < sizeof(event.hash); i++)
		assert_int_equal(check(event_with("2026-01-01T00:00:00Z", hashes[i]), STARTED, sizeof(STARTED) - 1, NULL), -1);
	event = event_with("2026-01-01T00:00:00Z", HASH);
	event.sequence = INT64_C(1) << 31;
	assert_int_equal(check(event, STARTED, sizeof(STARTED) - 1, NULL), -1);
	event.sequence = 0;
	assert_int_equal(check(event, STARTED, sizeof(STARTED) - 1, NULL), -1);
	event = event_with("2026-01-01T00:00:00Z", HASH);
	event.subject[0] = 'x';
	assert_int_equal(check(event, STARTED, sizeof(STARTED) - 1, NULL), -1);
}

TEST(a_time_is_given_in_utc)
{
	char time[CLOCK_RFC3339_SIZE];
	/* Postgres takes no offset of more than sixteen hours. */
	assert_int_equal(check(event_with("2026-01-01T23:30:00+23:30", HASH), STARTED, sizeof(STARTED) - 1, time), 0);
	assert_string_equal(time, "2026-01-01T00:00:00.000000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_build_service_publishes_is_an_event),
		cmocka_unit_test(a_value_that_postgres_would_fail_on_is_no_event),
		cmocka_unit_test(a_branch_that_no_index_takes_is_no_event),
		cmocka_unit_test(attributes_that_postgres_would_fail_on_are_no_events),
		cmocka_unit_test(a_time_is_given_in_utc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
