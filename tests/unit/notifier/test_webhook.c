#include "notifier/webhook.h"
#include "tests/unit/unit.h"

#include <string.h>

#include "common/base/str.h"

/* The example of the specification's libraries: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw. */
TEST(the_signature_is_that_of_standard_webhooks)
{
	static const uint8_t secret[] = {49, 242, 144, 246, 191, 6,  41,  138, 171, 79, 8,   212,
									 60, 63,  8,   44,  246, 72, 163, 98,  218, 45, 164, 176};
	static const char body[] = "{\"test\": 2432232314}";
	struct buffer signature;

	buffer_init(&signature, 256);
	webhook_sign(secret, sizeof(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, sizeof(body) - 1,
				 &signature);
	assert_string_equal(signature.data, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	buffer_release(&signature);
}

#define ID "0190a5e8-0000-7000-8000-000000000001"

static int body_of(const char *data, struct buffer *body, struct error *err)
{
	buffer_init(body, 4096);
	return webhook_body("build.completed", "2026-11-23T17:20:00.123456Z", ID, data, strlen(data), body, err);
}

TEST(the_body_is_the_event_with_its_task_id)
{
	struct error err = ERROR_INIT;
	struct buffer body;

	assert_int_equal(body_of("{\"attempt\":1,\"build_id\":\"" ID
							 "\",\"n\":12345678901234567890,\"status\":\"completed\"} ",
							 &body, &err),
					 0);
	assert_string_equal(body.data,
						"{\"type\":\"build.completed\",\"timestamp\":\"2026-11-23T17:20:00.123456Z\",\"data\":"
						"{\"attempt\":1,\"build_id\":\"" ID
						"\",\"n\":12345678901234567890,\"status\":\"completed\",\"task_id\":\"" ID "\"}}");
	buffer_release(&body);
}

TEST(an_event_that_is_not_the_builds_is_poison)
{
	static const char *const bad[] = {"",
									  "[]",
									  "null",
									  "{}",
									  "{\"build_id\":1}",
									  "{\"build_id\":\"0190a5e8-0000-7000-8000-000000000002\"}",
									  "{\"build_id\":\"" ID "\"",
									  "{\"build_id\":\"" ID "\",\"build_id\":\"" ID "\"}"};
	struct buffer body;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = ERROR_INIT;
		if (body_of(bad[i], &body, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		buffer_release(&body);
	}
}

TEST(headers_are_complete)
{
	static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	char **headers = webhook_headers("build/" ID "/7", 1614265330, "v1,x", trace, "bot:1");

	assert_true(strv_contains(headers, "content-type: application/json"));
	assert_true(strv_contains(headers, "webhook-id: build/" ID "/7"));
	assert_true(strv_contains(headers, "webhook-timestamp: 1614265330"));
	assert_true(strv_contains(headers, "webhook-signature: v1,x"));
	assert_true(strv_contains(headers, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	assert_true(strv_contains(headers, "x-request-id: bot:1"));
	assert_int_equal(strncmp(headers[1], "user-agent: Kiln/", 17), 0);
	strv_free(headers);
}

TEST(a_traceparent_cannot_bring_another_header)
{
	char **headers = webhook_headers("id", 1, "v1,x", "00\r\nx-evil: 1", NULL);

	assert_int_equal(strv_len(headers), 5);
	strv_free(headers);
	assert_false(webhook_is_header_value(""));
	assert_false(webhook_is_header_value("a b"));
	assert_false(webhook_is_header_value("a\xc3\xa4"));
	assert_true(webhook_is_header_value("build/1/7"));
}

TEST(what_is_no_requests_id_is_no_header)
{
	static const char too_long[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	static const char *const bad[] = {NULL, "", "a b", "a\r\nx-evil: 1", "a,b", too_long};

	assert_int_equal(strlen(too_long), 65);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char **headers = webhook_headers("id", 1, "v1,x", NULL, bad[i]);
		if (strv_len(headers) != 5)
			fail_msg("%s was sent", bad[i]);
		strv_free(headers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_signature_is_that_of_standard_webhooks),
		cmocka_unit_test(the_body_is_the_event_with_its_task_id),
		cmocka_unit_test(an_event_that_is_not_the_builds_is_poison),
		cmocka_unit_test(headers_are_complete),
		cmocka_unit_test(a_traceparent_cannot_bring_another_header),
		cmocka_unit_test(what_is_no_requests_id_is_no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
