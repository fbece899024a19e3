#include "tests/unit/unit.h"

#include "api-gateway/http/etag.h"

static int compare(const char *value, int64_t version, enum etag_comparison comparison)
{
	struct error err = ERROR_INIT;
	char etag[ETAG_SIZE];
	bool has;
	(void)snprintf(etag, sizeof(etag), "\"%lld\"", (long long)version);
	return etag_list_has(value, strlen(value), etag, comparison, &has, &err) < 0 ? -1 : has;
}

static int match(const char *value, int64_t version)
{
	return compare(value, version, ETAG_STRONG);
}

TEST(a_projects_tag_is_its_version_and_the_end_of_its_id)
{
	char etag[ETAG_SIZE];
	etag_of_project("0190d0d4-7c32-7b6e-8b1f-0f8a3c51d2e7", INT64_MAX, etag);
	assert_string_equal(etag, "\"9223372036854775807-3c51d2e7\"");
}

TEST(the_current_version_matches)
{
	assert_int_equal(match("\"3\"", 3), 1);
	assert_int_equal(match("  \"3\" ", 3), 1);
}

TEST(another_version_does_not)
{
	assert_int_equal(match("\"33\"", 3), 0);
	assert_int_equal(match("\"\"", 3), 0);
}

TEST(a_star_matches_whatever_there_is)
{
	assert_int_equal(match("*", 3), 1);
}

TEST(any_of_a_list_matches)
{
	assert_int_equal(match("\"1\", \"2\",\"3\"", 3), 1);
	assert_int_equal(match("\"a,b\", \"c\"", 3), 0);
}

TEST(a_weak_tag_never_matches)
{
	assert_int_equal(match("W/\"3\"", 3), 0);
	assert_int_equal(match("W/\"3\", \"3\"", 3), 1);
}

TEST(a_weak_comparison_takes_weak_tags_too)
{
	assert_int_equal(compare("W/\"3\"", 3, ETAG_WEAK), 1);
	assert_int_equal(compare("\"1\", W/\"2\" ,W/\"3\"", 3, ETAG_WEAK), 1);
	assert_int_equal(compare("\"3\"", 3, ETAG_WEAK), 1);
	assert_int_equal(compare("W/\"33\"", 3, ETAG_WEAK), 0);
}

TEST(empty_elements_of_a_list_are_ignored)
{
	assert_int_equal(match("\"3\",", 3), 1);
	assert_int_equal(match(", \"2\",,\t, \"3\"", 3), 1);
}

TEST(a_tag_of_bytes_is_theirs)
{
	char one[ETAG_SIZE], same[ETAG_SIZE], other[ETAG_SIZE];
	etag_of_bytes("{}", 2, one);
	etag_of_bytes("{}", 2, same);
	etag_of_bytes("{} ", 3, other);
	assert_string_equal(one, same);
	assert_string_not_equal(one, other);
	/* printf '{}' | sha256sum | cut -c-32 */
	assert_string_equal(one, "\"44136fa355b3678a1146ad16f7e8649e\"");
}

TEST(what_is_no_list_of_tags_is_an_error)
{
	static const char *const bad[] = {"3", "\"3", "\"3\" \"4\"", "*, \"3\"", "\"3\", *", "w/\"3\"", "W/", "W/\""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(match(bad[i], 3), -1);
}

/* RFC 9110 section 5.6.1.2. */
TEST(an_empty_list_has_nothing)
{
	assert_int_equal(match("", 3), 0);
	assert_int_equal(match(" , ,", 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_projects_tag_is_its_version_and_the_end_of_its_id),
		cmocka_unit_test(the_current_version_matches),
		cmocka_unit_test(another_version_does_not),
		cmocka_unit_test(a_star_matches_whatever_there_is),
		cmocka_unit_test(an_empty_list_has_nothing),
		cmocka_unit_test(any_of_a_list_matches),
		cmocka_unit_test(a_weak_tag_never_matches),
		cmocka_unit_test(a_weak_comparison_takes_weak_tags_too),
		cmocka_unit_test(empty_elements_of_a_list_are_ignored),
		cmocka_unit_test(a_tag_of_bytes_is_theirs),
		cmocka_unit_test(what_is_no_list_of_tags_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
