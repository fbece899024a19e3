#include "tests/unit/unit.h"

#include "api-gateway/http/negotiate.h"

static const char *const offers[] = {"application/json", "text/html", "text/plain", NULL};

static int best(const char *accept)
{
	return negotiate_accept(accept, accept != NULL ? strlen(accept) : 0, offers);
}

TEST(without_a_wish_the_first_offer_wins)
{
	assert_int_equal(best(NULL), 0);
	assert_int_equal(best(""), 0);
	assert_int_equal(best("*/*"), 0);
	assert_int_equal(best("application/*"), 0);
}

TEST(a_named_type_wins_over_ranges)
{
	assert_int_equal(best("text/plain"), 2);
	assert_int_equal(best("text/*"), 1);
	assert_int_equal(best("TEXT/Plain; charset=utf-8"), 2);
	assert_int_equal(best("text/html;q=0, text/*"), 2);
}

TEST(quality_decides)
{
	assert_int_equal(best("application/json;q=0.1, text/html;q=0.9"), 1);
	assert_int_equal(best("text/html;q=0.5, */*;q=0.8"), 0);
	assert_int_equal(best("application/json;q=0, */*"), 1);
	assert_int_equal(best("text/plain;q=1.000,text/html;q=0.999"), 2);
}

TEST(a_browser_gets_html)
{
	assert_int_equal(best("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), 1);
}

TEST(what_is_not_offered_is_not_acceptable)
{
	assert_int_equal(best("text/event-stream"), -1);
	assert_int_equal(best("*/*;q=0"), -1);
	assert_int_equal(best("application/jsonx"), -1);
}

TEST(nonsense_is_survived)
{
	assert_int_equal(best(",,;;q=,"), -1);
	assert_int_equal(best("application/json;q=banana"), 0);
	assert_int_equal(best("/"), -1);
}

TEST(the_type_of_a_body_may_only_have_utf_8)
{
	static const char *const good[] = {"application/json", "Application/JSON ; charset=UTF-8",
									   "application/json;charset=\"utf-8\"", "application/json;"};
	static const char *const bad[] = {"text/json", "application/json; charset=latin1", "application/jsonp",
									  "",          "application/json; boundary=x",     "application/json, text/plain"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(negotiate_is_type(good[i], strlen(good[i]), "application/json"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(negotiate_is_type(bad[i], strlen(bad[i]), "application/json"));
	assert_false(negotiate_is_type(NULL, 0, "application/json"));
}

static bool takes_gzip(const char *accept_encoding)
{
	return negotiate_gzip(accept_encoding, accept_encoding != NULL ? strlen(accept_encoding) : 0);
}

TEST(gzip_is_for_those_who_ask_for_it)
{
	static const char *const yes[] = {"gzip",
									  "GZIP",
									  "x-gzip",
									  "br, gzip;q=0.2",
									  "*",
									  "*;q=0.1",
									  "gzip;q=1.000",
									  "gzip , deflate",
									  "identity;q=0, gzip;q=0.001",
									  "identity;q=0.5, gzip;q=0.5"};
	static const char *const no[] = {NULL, "", "br", "deflate, identity", "gzipped", "gzip-", "identity;q=0"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		assert_true(takes_gzip(yes[i]));
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(takes_gzip(no[i]));
}

TEST(gzip_is_not_for_those_who_refuse_it_or_like_the_text_better)
{
	assert_false(takes_gzip("gzip;q=0"));
	assert_false(takes_gzip("gzip; Q=0.000, *"));
	assert_false(takes_gzip("*;q=0"));
	assert_false(takes_gzip("gzip;q=0.4, identity"));
	assert_false(takes_gzip("identity;q=0.6, *;q=0.5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_wish_the_first_offer_wins),
		cmocka_unit_test(a_named_type_wins_over_ranges),
		cmocka_unit_test(quality_decides),
		cmocka_unit_test(a_browser_gets_html),
		cmocka_unit_test(what_is_not_offered_is_not_acceptable),
		cmocka_unit_test(nonsense_is_survived),
		cmocka_unit_test(the_type_of_a_body_may_only_have_utf_8),
		cmocka_unit_test(gzip_is_for_those_who_ask_for_it),
		cmocka_unit_test(gzip_is_not_for_those_who_refuse_it_or_like_the_text_better),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
