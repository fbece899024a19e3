#include "tests/unit/unit.h"

TEST(set_fills_it_and_returns_minus_one)
{
	struct error err = {.sys_errno = 5, .sqlstate = "23505"};
	assert_int_equal(error_set(&err, ERR_CONFLICT, "%s exists", "x"), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_string_equal(err.message, "x exists");
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(err.sqlstate, "");
}

TEST(the_message_may_be_built_from_itself)
{
	struct error err = ERROR_INIT;
	(void)error_set(&err, ERR_INVALID, "inner");
	(void)error_set(&err, ERR_INTERNAL, "outer: %s", err.message);
	assert_string_equal(err.message, "outer: inner");
}

TEST(a_cut_message_does_not_end_inside_of_a_character)
{
	struct error err = ERROR_INIT;
	for (int pad = 0; pad < 4; pad++) {
		(void)error_set(&err, ERR_INVALID, "%0*d%s", 507 + pad, 1, "€€");
		size_t len = strlen(err.message);
		assert_true(len == (size_t)(507 + pad) || len == (size_t)(507 + pad) + 3);
	}
}

TEST(errno_maps_to_kinds)
{
	static const struct {
		int errnum;
		enum error_kind kind;
	} cases[] = {
		{ENOENT, ERR_NOT_FOUND}, {EACCES, ERR_DENIED}, {EPERM, ERR_DENIED}, {ENOSPC, ERR_LIMIT},
		{EDQUOT, ERR_LIMIT},     {EMFILE, ERR_LIMIT},  {EIO, ERR_INTERNAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = ERROR_INIT;
		assert_int_equal(error_set_errno(&err, cases[i].errnum, "x"), -1);
		assert_int_equal(err.kind, cases[i].kind);
		assert_int_equal(err.sys_errno, cases[i].errnum);
	}
}

TEST(the_text_of_errno_follows_the_message)
{
	struct error err = ERROR_INIT;
	(void)error_set_errno(&err, ENOENT, "/a/%s", "b");
	assert_string_equal(err.message, "/a/b: No such file or directory");
}

TEST(a_prefix_goes_before_the_message_and_keeps_the_kind)
{
	struct error err = ERROR_INIT;
	(void)error_set_errno(&err, ENOENT, "file");
	assert_int_equal(error_prefix(&err, "config %d", 1), -1);
	assert_string_equal(err.message, "config 1: file: No such file or directory");
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(err.sys_errno, ENOENT);
}

TEST(a_long_prefix_is_cut)
{
	struct error err = ERROR_INIT;
	(void)error_set(&err, ERR_INVALID, "%0300d", 1);
	(void)error_prefix(&err, "%0300d", 2);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

TEST(every_kind_has_a_name)
{
	for (int kind = ERR_NONE; kind <= ERR_INTERNAL; kind++)
		assert_true(strlen(error_kind_name((enum error_kind)kind)) > 0);
	assert_string_equal(error_kind_name(ERR_NOT_FOUND), "not_found");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_it_and_returns_minus_one),
		cmocka_unit_test(the_message_may_be_built_from_itself),
		cmocka_unit_test(a_cut_message_does_not_end_inside_of_a_character),
		cmocka_unit_test(errno_maps_to_kinds),
		cmocka_unit_test(the_text_of_errno_follows_the_message),
		cmocka_unit_test(a_prefix_goes_before_the_message_and_keeps_the_kind),
		cmocka_unit_test(a_long_prefix_is_cut),
		cmocka_unit_test(every_kind_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
