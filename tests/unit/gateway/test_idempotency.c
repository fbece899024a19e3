#include "tests/unit/unit.h"

#include "api-gateway/builds/idempotency.h"

static const uint8_t secret[32] = {1, 2, 3};

static const char *key_of(const char *value)
{
	static char key[IDEMPOTENCY_KEY_MAX + 1];
	struct error err = ERROR_INIT;
	return idempotency_key_read(value, strlen(value), key, &err) == 0 ? key : NULL;
}

static void id_of(const char *owner, const char *route, const char *project, const char *key, char ret[UUID_TEXT_SIZE])
{
	idempotency_build_id(secret, sizeof(secret), owner, route, project, key, ret);
}

TEST(a_key_is_the_same_with_and_without_quotes)
{
	assert_string_equal(key_of("\"a-1\""), "a-1");
	assert_string_equal(key_of("a-1"), "a-1");
}

TEST(a_quoted_key_may_escape_quotes_and_backslashes)
{
	assert_string_equal(key_of("\"a\\\"b\\\\c\""), "a\"b\\c");
}

TEST(a_key_has_up_to_255_characters)
{
	char text[300];
	memset(text, 'k', sizeof(text));
	text[255] = '\0';
	assert_non_null(key_of(text));
	text[255] = 'k';
	text[256] = '\0';
	assert_null(key_of(text));
}

TEST(what_is_no_key_is_refused)
{
	static const char *const bad[] = {"",         "\"\"",  "\"a",      "a\"b", "\"a\"b\"",
									  "\"a\\n\"", "\"a\\", "\xC3\xA9", "a\tb", "a\x7F"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(key_of(bad[i]));
}

TEST(the_same_request_has_the_same_id)
{
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];
	id_of("owner", "builds", "project", "key", a);
	id_of("owner", "builds", "project", "key", b);
	assert_string_equal(a, b);
	assert_true(uuid_is_valid(a, strlen(a)));
	assert_int_equal(a[14], '8');
}

TEST(whoever_whatever_or_wherever_differs_has_another_id)
{
	static const char *const parts[][4] = {{"owner", "builds", "project", "key"},
										   {"owner2", "builds", "project", "key"},
										   {"owner", "create-and-build", "project", "key"},
										   {"owner", "builds", "project2", "key"},
										   {"owner", "builds", "project", "key2"}};
	char ids[ARRAY_LEN(parts)][UUID_TEXT_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		id_of(parts[i][0], parts[i][1], parts[i][2], parts[i][3], ids[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

TEST(parts_do_not_run_into_each_other)
{
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];
	id_of("owner", "builds", "ab", "c", a);
	id_of("owner", "builds", "a", "bc", b);
	assert_string_not_equal(a, b);
}

TEST(the_secret_decides_too)
{
	static const uint8_t other[32] = {9};
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];
	id_of("owner", "builds", "project", "key", a);
	idempotency_build_id(other, sizeof(other), "owner", "builds", "project", "key", b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_the_same_with_and_without_quotes),
		cmocka_unit_test(a_quoted_key_may_escape_quotes_and_backslashes),
		cmocka_unit_test(a_key_has_up_to_255_characters),
		cmocka_unit_test(what_is_no_key_is_refused),
		cmocka_unit_test(the_same_request_has_the_same_id),
		cmocka_unit_test(whoever_whatever_or_wherever_differs_has_another_id),
		cmocka_unit_test(parts_do_not_run_into_each_other),
		cmocka_unit_test(the_secret_decides_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
