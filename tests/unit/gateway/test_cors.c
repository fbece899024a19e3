#include "tests/unit/unit.h"

#include "api-gateway/cors.h"

static struct cors *make(const char *origins)
{
	struct error err = ERROR_INIT;
	struct cors *cors = NULL;
	assert_int_equal(cors_new(origins, &cors, &err), 0);
	return cors;
}

static bool allows(const struct cors *cors, const char *origin)
{
	return cors_allows(cors, origin, strlen(origin));
}

TEST(without_origins_it_is_off)
{
	assert_null(make(NULL));
	assert_null(make(""));
	assert_null(make(" , "));
	assert_false(allows(NULL, "https://app.example.org"));
}

TEST(only_the_named_origins_are_allowed)
{
	struct cors *cors = make("https://app.example.org, http://localhost:3000,https://[::1]:8443");
	assert_true(allows(cors, "https://app.example.org"));
	assert_true(allows(cors, "http://localhost:3000"));
	assert_true(allows(cors, "https://[::1]:8443"));
	static const char *const others[] = {"null",
										 "",
										 "*",
										 "http://app.example.org",
										 "https://app.example.org:443",
										 "https://app.example.org.evil.example",
										 "https://evil.example",
										 "https://app"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(allows(cors, others[i]));
	assert_false(cors_allows(cors, NULL, 0));
	cors_free(cors);
}

TEST(a_star_allows_all)
{
	struct cors *cors = make("*");
	assert_true(allows(cors, "https://app.example.org"));
	assert_true(allows(cors, "null"));
	assert_false(cors_allows(cors, NULL, 0));
	cors_free(cors);
}

TEST(what_is_no_origin_is_an_error)
{
	static const char *const bad[] = {"app.example.org",
									  "https://",
									  "https://app.example.org/",
									  "https://App.example.org",
									  "*, https://a.example",
									  "https://*.example.org",
									  "https://a b",
									  "https://a.example\r\nx: y",
									  "null",
									  "://a"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = ERROR_INIT;
		struct cors *cors = NULL;
		assert_int_equal(cors_new(bad[i], &cors, &err), -1);
		assert_non_null(strstr(err.message, "KILN_CORS_ORIGINS"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_origins_it_is_off),
		cmocka_unit_test(only_the_named_origins_are_allowed),
		cmocka_unit_test(a_star_allows_all),
		cmocka_unit_test(what_is_no_origin_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
