#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/http/target.h"

static void is_read_as(const char *text, const char *path, const char *query)
{
	struct target target;
	assert_int_equal(target_read(text, strlen(text), &target), 0);
	assert_int_equal(target.path_len, strlen(path));
	assert_memory_equal(target.path, path, target.path_len);
	assert_int_equal(target.query_len, strlen(query));
	assert_memory_equal(target.query, query, target.query_len);
}

static void is_refused(const char *text)
{
	static const struct target before = {"/before", 7, "q", 1};
	struct target target = before;
	assert_int_equal(target_read(text, strlen(text), &target), -1);
	assert_ptr_equal(target.path, before.path);
	assert_ptr_equal(target.query, before.query);
}

TEST(a_path_is_read_up_to_the_first_question_mark)
{
	is_read_as("/", "/", "");
	is_read_as("/me", "/me", "");
	is_read_as("/me?", "/me", "");
	is_read_as("/me?limit=1", "/me", "limit=1");
	is_read_as("/me?a=?&b=/c", "/me", "a=?&b=/c");
	is_read_as("/?/audit", "/", "/audit");
}

TEST(a_path_may_look_like_anything)
{
	is_read_as("//host/me", "//host/me", "");
	is_read_as("/http://host/me", "/http://host/me", "");
	is_read_as("/me?next=http://host/audit", "/me", "next=http://host/audit");
}

TEST(of_an_absolute_target_scheme_and_host_are_left_out)
{
	is_read_as("http://kiln/me", "/me", "");
	is_read_as("https://kiln/me?limit=1", "/me", "limit=1");
	is_read_as("HtTp://kiln:8080/me", "/me", "");
	is_read_as("HTTPS://[::1]:8443/me", "/me", "");
	is_read_as("http://kiln//audit", "//audit", "");
}

TEST(an_authority_ends_at_a_question_mark_too)
{
	is_read_as("http://kiln", "/", "");
	is_read_as("http://kiln/", "/", "");
	is_read_as("http://kiln?", "/", "");
	is_read_as("http://kiln?/audit", "/", "/audit");
	is_read_as("http://kiln?a=http://other/audit", "/", "a=http://other/audit");
}

TEST(another_scheme_is_none)
{
	static const char *const bad[] = {"httpx://kiln/me", "httpx?://h/me",   "httpss://kiln/me",
									  "ftp://kiln/me",   "http:/me",        "http:/kiln/me",
									  "http//kiln/me",   "http:",           "http",
									  "ttp://kiln/me",   " http://kiln/me", "://kiln/me"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_refused(bad[i]);
}

TEST(an_authority_without_a_host_or_with_a_user_is_none)
{
	static const char *const bad[] = {"http://",          "http:///me",         "http://?/me",         "http://:80/me",
									  "http://a@kiln/me", "http://a:b@kiln/me", "https://@kiln/audit", "http://a@kiln"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_refused(bad[i]);
}

TEST(a_fragment_is_of_no_request)
{
	static const char *const bad[] = {"/me#x",         "/me?a#x", "#", "http://kiln#/audit", "http://kiln/me#x",
									  "http://kiln?a#"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_refused(bad[i]);
}

TEST(what_is_no_path_is_none)
{
	is_refused("");
	is_refused("*");
	is_refused("?");
	is_refused("me");
	is_refused("kiln:443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_read_up_to_the_first_question_mark),
		cmocka_unit_test(a_path_may_look_like_anything),
		cmocka_unit_test(of_an_absolute_target_scheme_and_host_are_left_out),
		cmocka_unit_test(an_authority_ends_at_a_question_mark_too),
		cmocka_unit_test(another_scheme_is_none),
		cmocka_unit_test(an_authority_without_a_host_or_with_a_user_is_none),
		cmocka_unit_test(a_fragment_is_of_no_request),
		cmocka_unit_test(what_is_no_path_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
