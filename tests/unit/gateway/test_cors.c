#include "tests/unit/unit.h"

#include "api-gateway/http/cors.h"

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

static const char *value_of(const struct cors *cors, const char *origin, const char *name)
{
	struct cors_field fields[CORS_FIELDS_MAX];
	size_t len = cors_fields(cors, origin, origin != NULL ? strlen(origin) : 0, fields);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(fields[i].value_len, strlen(fields[i].value));
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].value;
	}
	return NULL;
}

TEST(an_answer_names_the_origin_that_may_read_it)
{
	struct cors *cors = make("https://app.example.org");
	assert_string_equal(value_of(cors, "https://app.example.org", "access-control-allow-origin"),
						"https://app.example.org");
	assert_non_null(strstr(value_of(cors, "https://app.example.org", "access-control-expose-headers"), "retry-after"));
	assert_string_equal(value_of(cors, "https://app.example.org", "vary"), "origin");
	cors_free(cors);
}

TEST(whoever_else_asks_learns_only_that_answers_vary)
{
	struct cors *cors = make("https://app.example.org");
	assert_null(value_of(cors, "https://evil.example", "access-control-allow-origin"));
	assert_null(value_of(cors, NULL, "access-control-expose-headers"));
	assert_string_equal(value_of(cors, NULL, "vary"), "origin");
	cors_free(cors);
}

TEST(what_all_may_read_does_not_vary)
{
	struct cors *cors = make("*");
	assert_string_equal(value_of(cors, "https://app.example.org", "access-control-allow-origin"), "*");
	assert_null(value_of(cors, "https://app.example.org", "vary"));
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
		assert_non_null(strstr(err.message, "is no origin"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_origins_it_is_off),
		cmocka_unit_test(only_the_named_origins_are_allowed),
		cmocka_unit_test(a_star_allows_all),
		cmocka_unit_test(an_answer_names_the_origin_that_may_read_it),
		cmocka_unit_test(whoever_else_asks_learns_only_that_answers_vary),
		cmocka_unit_test(what_all_may_read_does_not_vary),
		cmocka_unit_test(what_is_no_origin_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
