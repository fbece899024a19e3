#include "tests/unit/unit.h"

#include "api-gateway/http/traceparent.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static const uint8_t random_part[24] = {0x11, 0x22, 0x33, [16] = 0xAB, [23] = 0xCD};
static char made[TRACEPARENT_SIZE];

static const char *carry_on(const char *text)
{
	traceparent_continue(text, text != NULL ? strlen(text) : 0, random_part, made);
	return made;
}

TEST(a_trace_goes_on_with_a_span_of_our_own)
{
	assert_string_equal(carry_on("00-" TRACE "-" SPAN "-01"), "00-" TRACE "-ab000000000000cd-01");
	assert_string_equal(carry_on("00-" TRACE "-" SPAN "-00"), "00-" TRACE "-ab000000000000cd-00");
}

TEST(unknown_flags_are_not_passed_on)
{
	assert_string_equal(carry_on("00-" TRACE "-" SPAN "-ff"), "00-" TRACE "-ab000000000000cd-01");
	assert_string_equal(carry_on("00-" TRACE "-" SPAN "-fe"), "00-" TRACE "-ab000000000000cd-00");
}

TEST(a_later_version_is_read_as_far_as_it_is_known)
{
	assert_string_equal(carry_on("01-" TRACE "-" SPAN "-01"), "00-" TRACE "-ab000000000000cd-01");
	assert_string_equal(carry_on("cc-" TRACE "-" SPAN "-01-what-the-future-holds"), "00-" TRACE "-ab000000000000cd-01");
}

TEST(without_a_valid_one_a_sampled_trace_begins)
{
	static const char *const bad[] = {NULL,
									  "",
									  "00-" TRACE "-" SPAN,
									  "00-" TRACE "-" SPAN "-1",
									  "ff-" TRACE "-" SPAN "-01",
									  "00-" TRACE "-" SPAN "-01-more",
									  "00-" TRACE "-" SPAN "-01x",
									  "cc-" TRACE "-" SPAN "-01x",
									  "00-00000000000000000000000000000000-" SPAN "-01",
									  "00-" TRACE "-0000000000000000-01",
									  "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
									  "00_" TRACE "_" SPAN "_01",
									  "0g-" TRACE "-" SPAN "-01"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_string_equal(carry_on(bad[i]), "00-11223300000000000000000000000000-ab000000000000cd-01");
		assert_true(traceparent_is_valid(made, strlen(made)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trace_goes_on_with_a_span_of_our_own),
		cmocka_unit_test(unknown_flags_are_not_passed_on),
		cmocka_unit_test(a_later_version_is_read_as_far_as_it_is_known),
		cmocka_unit_test(without_a_valid_one_a_sampled_trace_begins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
