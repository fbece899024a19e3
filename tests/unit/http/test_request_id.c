#include "common/http/request_id.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(an_id_is_letters_digits_and_four_signs)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

	for (int byte = 0; byte < 256; byte++) {
		const char text[] = {'a', (char)byte, 'z'};
		bool expected = byte != 0 && strchr(allowed, byte) != NULL;
		if (request_id_is_valid(text, sizeof(text)) != expected)
			fail_msg("byte %d is %s", byte, expected ? "refused" : "taken");
	}
}

TEST(an_id_has_1_to_64_characters)
{
	char text[REQUEST_ID_MAX + 1];

	memset(text, 'x', sizeof(text));
	assert_false(request_id_is_valid(NULL, 0));
	assert_false(request_id_is_valid(text, 0));
	assert_true(request_id_is_valid(text, 1));
	assert_int_equal(REQUEST_ID_MAX, 64);
	assert_true(request_id_is_valid(text, REQUEST_ID_MAX));
	assert_false(request_id_is_valid(text, REQUEST_ID_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_letters_digits_and_four_signs),
		cmocka_unit_test(an_id_has_1_to_64_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
