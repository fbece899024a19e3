#include "tests/unit/unit.h"

#include "api-gateway/query.h"
#include "common/base/str.h"

#define ALL (QUERY_LIMIT | QUERY_CURSOR | QUERY_AFTER | QUERY_STATUS | QUERY_VERSION)

static struct query query;
static struct error err;

static int read_text(const char *text, unsigned allowed)
{
	err = (struct error)ERROR_INIT;
	return query_read(text, strlen(text), allowed, &query, &err);
}

TEST(an_empty_query_has_the_defaults)
{
	assert_int_equal(read_text("", 0), 0);
	assert_int_equal(query.limit, QUERY_LIMIT_DEFAULT);
	assert_false(query.limit_given);
	assert_int_equal(query.after, -1);
	assert_string_equal(query.status, "");
	assert_string_equal(query.cursor, "");
}

TEST(known_parameters_are_read)
{
	assert_int_equal(read_text("limit=7&status=running&cursor=abc&version=2", ALL), 0);
	assert_int_equal(query.limit, 7);
	assert_true(query.limit_given);
	assert_string_equal(query.status, "running");
	assert_string_equal(query.cursor, "abc");
	assert_int_equal(query.version, 2);
	assert_int_equal(read_text("after=4294967297", ALL), 0);
	assert_int_equal(query.after, 4294967297);
}

TEST(names_and_values_are_percent_decoded)
{
	assert_int_equal(read_text("li%6Dit=%31%30&", ALL), 0);
	assert_int_equal(query.limit, 10);
}

TEST(what_the_route_does_not_know_is_named)
{
	assert_int_equal(read_text("limit=1&foo=1", QUERY_LIMIT), -1);
	assert_non_null(strstr(err.message, "\"foo\""));
	assert_int_equal(read_text("status=running", QUERY_LIMIT), -1);
	assert_non_null(strstr(err.message, "\"status\""));
	assert_int_equal(read_text("LIMIT=1", ALL), -1);
	assert_int_equal(read_text("=1", ALL), -1);
}

/* libFuzzer found it: the message ended within a character. */
TEST(a_long_unknown_name_is_cut_between_characters)
{
	char text[256] = "x";
	for (size_t i = 0; i < 40; i++)
		memcpy(text + 1 + 2 * i, "\xC3\xA9", 2);
	assert_int_equal(read_text(text, ALL), -1);
	assert_true(str_is_utf8(err.message, strlen(err.message)));
	assert_non_null(strstr(err.message, "\"x\xC3\xA9\xC3\xA9"));
}

TEST(everything_wrong_is_told_at_once)
{
	assert_int_equal(read_text("limit=0&status=gone&x", ALL), -1);
	assert_non_null(strstr(err.message, "limit"));
	assert_non_null(strstr(err.message, "status"));
	assert_non_null(strstr(err.message, "\"x\""));
}

TEST(bad_values_are_refused)
{
	static const char *const bad[] = {"limit=",    "limit=501", "limit=-1",
									  "limit=1x",  "limit",     "limit=1&limit=2",
									  "after=-1",  "after=1e3", "after=99999999999999999999",
									  "status=",   "cursor=",   "version=0",
									  "limit=%zz", "limit=%00", "after=1&cursor=a"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(read_text(bad[i], ALL), -1);
}

TEST(a_flood_of_bad_parameters_makes_a_short_message)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 1 << 20);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(buffer_appendf(&text, "parameter-%d=value&", i), 0);
	assert_int_equal(query_read(text.data, text.len, ALL, &query, &err), -1);
	assert_true(strlen(err.message) < sizeof(err.message));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_query_has_the_defaults),
		cmocka_unit_test(known_parameters_are_read),
		cmocka_unit_test(names_and_values_are_percent_decoded),
		cmocka_unit_test(what_the_route_does_not_know_is_named),
		cmocka_unit_test(a_long_unknown_name_is_cut_between_characters),
		cmocka_unit_test(everything_wrong_is_told_at_once),
		cmocka_unit_test(bad_values_are_refused),
		cmocka_unit_test(a_flood_of_bad_parameters_makes_a_short_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
