/* The schedule, and what each answer means for a delivery. */
#include "notifier/delivery.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct schedule schedule_of(const char *text)
{
	struct schedule schedule;
	struct error err = ERROR_INIT;

	assert_int_equal(schedule_parse(text, &schedule, &err), 0);
	return schedule;
}

TEST(a_schedule_gives_each_pause_with_little_jitter)
{
	struct schedule schedule = schedule_of("0, 5,300");
	int64_t delay_ms = -1;

	assert_int_equal(schedule.len, 3);
	assert_int_equal(schedule.delay_ms[0], 0);
	assert_true(schedule_next(&schedule, 1, -1, &delay_ms));
	assert_in_range(delay_ms, 5000, 5500);
	assert_true(schedule_next(&schedule, 2, -1, &delay_ms));
	assert_in_range(delay_ms, 300000, 330000);
	assert_false(schedule_next(&schedule, 3, -1, &delay_ms));
	assert_false(schedule_next(&schedule, 4, -1, &delay_ms));
}

TEST(retry_after_only_lengthens_a_pause_and_at_most_to_a_day)
{
	struct schedule schedule = schedule_of("0,5,300");
	int64_t delay_ms = -1;

	assert_true(schedule_next(&schedule, 1, 60, &delay_ms));
	assert_int_equal(delay_ms, 60000);
	assert_true(schedule_next(&schedule, 2, 60, &delay_ms));
	assert_in_range(delay_ms, 300000, 330000);
	assert_true(schedule_next(&schedule, 1, INT64_C(86400) * 365, &delay_ms));
	assert_int_equal(delay_ms, 86400000);
	assert_true(schedule_next(&schedule, 1, INT64_MAX, &delay_ms));
	assert_int_equal(delay_ms, 86400000);
}

TEST(a_bad_schedule_is_refused)
{
	static const char *const bad[] = {
		"", ",", "x", "-1", "0,1.5", "604801", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct schedule schedule;
		struct error err = ERROR_INIT;
		if (schedule_parse(bad[i], &schedule, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

/* The state after attempt 1 of 3, the class in ret_class. */
static enum delivery_state judged(int status, enum error_kind kind, int64_t retry_after_s, int64_t attempt,
								  struct delivery *ret)
{
	struct schedule schedule = schedule_of("0,5,300");
	struct http_response response = {
		.error = {.kind = kind}, .status = status, .retry_after_s = retry_after_s, .duration_us = 7000};

	memset(ret, 0, sizeof(*ret));
	(void)snprintf(response.error.message, sizeof(response.error.message), "why"); /* fits */
	ret->attempt = attempt;
	delivery_judge(ret, &response, &schedule);
	assert_int_equal(ret->duration_ms, 7);
	return ret->state;
}

TEST(every_answer_has_its_consequence)
{
	static const struct {
		int status;
		enum error_kind kind;
		enum delivery_state state;
		const char *failure_class;
	} cases[] = {
		{200, ERR_NONE, DELIVERY_DELIVERED, "delivered"},   {204, ERR_NONE, DELIVERY_DELIVERED, "delivered"},
		{301, ERR_NONE, DELIVERY_PENDING, "redirect"},      {307, ERR_NONE, DELIVERY_PENDING, "redirect"},
		{400, ERR_NONE, DELIVERY_PENDING, "client_error"},  {404, ERR_NONE, DELIVERY_PENDING, "client_error"},
		{410, ERR_NONE, DELIVERY_EXHAUSTED, "gone"},        {429, ERR_NONE, DELIVERY_PENDING, "throttled"},
		{500, ERR_NONE, DELIVERY_PENDING, "server_error"},  {502, ERR_NONE, DELIVERY_PENDING, "throttled"},
		{503, ERR_NONE, DELIVERY_PENDING, "throttled"},     {504, ERR_NONE, DELIVERY_PENDING, "throttled"},
		{0, ERR_TIMEOUT, DELIVERY_PENDING, "timeout"},      {0, ERR_UNAVAILABLE, DELIVERY_PENDING, "unreachable"},
		{0, ERR_DENIED, DELIVERY_EXHAUSTED, "denied"},      {0, ERR_INVALID, DELIVERY_EXHAUSTED, "invalid"},
		{0, ERR_CANCELLED, DELIVERY_RELEASED, "cancelled"},
	};
	struct delivery delivery;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(judged(cases[i].status, cases[i].kind, -1, 1, &delivery), cases[i].state);
		assert_string_equal(attempt_class_name(delivery.attempt_class), cases[i].failure_class);
		assert_int_equal(delivery.status, cases[i].status);
		if (cases[i].state == DELIVERY_PENDING)
			assert_in_range(delivery.delay_ms, 5000, 5500);
		if (cases[i].state == DELIVERY_DELIVERED)
			assert_string_equal(delivery.error, "");
		else
			assert_non_null(strstr(delivery.error, cases[i].failure_class));
	}
}

TEST(a_status_counts_however_its_body_ends)
{
	static const enum error_kind ends[] = {ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_CANCELLED};
	struct delivery delivery;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		assert_int_equal(judged(200, ends[i], -1, 1, &delivery), DELIVERY_DELIVERED);
		assert_string_equal(attempt_class_name(delivery.attempt_class), "delivered");
		assert_int_equal(delivery.status, 200);
		assert_string_equal(delivery.error, "");
		assert_int_equal(judged(410, ends[i], -1, 1, &delivery), DELIVERY_EXHAUSTED);
		assert_int_equal(judged(503, ends[i], 100, 1, &delivery), DELIVERY_PENDING);
		assert_int_equal(delivery.delay_ms, 100000);
	}
	assert_int_equal(judged(100, ERR_TIMEOUT, -1, 1, &delivery), DELIVERY_PENDING); /* not the answer yet */
	assert_string_equal(attempt_class_name(delivery.attempt_class), "timeout");
}

TEST(the_last_attempt_exhausts)
{
	struct delivery delivery;

	assert_int_equal(judged(500, ERR_NONE, -1, 2, &delivery), DELIVERY_PENDING);
	assert_int_equal(judged(500, ERR_NONE, -1, 3, &delivery), DELIVERY_EXHAUSTED);
	assert_int_equal(judged(0, ERR_TIMEOUT, -1, 3, &delivery), DELIVERY_EXHAUSTED);
	assert_int_equal(judged(200, ERR_NONE, -1, 3, &delivery), DELIVERY_DELIVERED);
}

TEST(only_throttling_answers_may_ask_for_a_pause)
{
	static const int throttling[] = {429, 502, 503, 504};
	struct delivery delivery;

	for (size_t i = 0; i < ARRAY_LEN(throttling); i++) {
		assert_int_equal(judged(throttling[i], ERR_NONE, 100, 1, &delivery), DELIVERY_PENDING);
		assert_int_equal(delivery.delay_ms, 100000);
	}
	assert_int_equal(judged(500, ERR_NONE, 100, 1, &delivery), DELIVERY_PENDING);
	assert_in_range(delivery.delay_ms, 5000, 5500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schedule_gives_each_pause_with_little_jitter),
		cmocka_unit_test(retry_after_only_lengthens_a_pause_and_at_most_to_a_day),
		cmocka_unit_test(a_bad_schedule_is_refused),
		cmocka_unit_test(every_answer_has_its_consequence),
		cmocka_unit_test(a_status_counts_however_its_body_ends),
		cmocka_unit_test(the_last_attempt_exhausts),
		cmocka_unit_test(only_throttling_answers_may_ask_for_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
