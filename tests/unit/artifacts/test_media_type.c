#include "tests/unit/unit.h"

#include "common/artifacts/media_type.h"

TEST(the_ending_of_the_name_tells_the_type)
{
	assert_string_equal(media_type_of("a/b.xml"), "application/xml");
	assert_string_equal(media_type_of("a.d/REPORT.HTML"), "text/html");
	assert_string_equal(media_type_of("kiln/commit.bundle"), "application/x-git-bundle");
}

TEST(what_has_no_known_ending_is_bytes)
{
	assert_string_equal(media_type_of("a.html/b"), "application/octet-stream");
	assert_string_equal(media_type_of("Makefile"), "application/octet-stream");
	assert_string_equal(media_type_of(".txt"), "application/octet-stream");
	assert_string_equal(media_type_of("a."), "application/octet-stream");
	assert_string_equal(media_type_of("a.never-heard-of"), "application/octet-stream");
}

TEST(a_type_that_is_told_is_believed_only_if_the_table_has_it)
{
	assert_string_equal(media_type_known("image/png"), "image/png");
	assert_string_equal(media_type_known("image/png\r\nset-cookie: a=b"), "application/octet-stream");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ending_of_the_name_tells_the_type),
		cmocka_unit_test(what_has_no_known_ending_is_bytes),
		cmocka_unit_test(a_type_that_is_told_is_believed_only_if_the_table_has_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
