#include "tests/unit/unit.h"

#include "common/base/trace.h"

#define ID "0af7651916cd43dd8448eb211c80319c"

TEST(the_trace_id_is_the_second_part_of_a_traceparent)
{
	char id[TRACE_ID_SIZE];
	assert_string_equal(trace_id_of("00-" ID "-b7ad6b7169203331-01", id), ID);
	assert_ptr_equal(trace_id_of("cc-" ID "-b7ad6b7169203331-01-what-comes", id), id);
}

TEST(what_is_no_traceparent_has_none)
{
	static const char *const others[] = {"",
										 "00-",
										 "00-" ID,
										 "00" ID "--b7ad6b7169203331-01",
										 "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
										 "00-" ID "0-b7ad6b7169203331-01",
										 "00-0af7-b7ad6b7169203331-01--------------------------"};
	char id[TRACE_ID_SIZE];
	assert_null(trace_id_of(NULL, id));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_null(trace_id_of(others[i], id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trace_id_is_the_second_part_of_a_traceparent),
		cmocka_unit_test(what_is_no_traceparent_has_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
