#include "tests/unit/unit.h"

#include "api-gateway/lists/query.h"
#include "common/base/str.h"

#define ALL                                                                                                            \
	(QUERY_LIMIT | QUERY_CURSOR | QUERY_AFTER | QUERY_VERSION | QUERY_STATUS | QUERY_BRANCH | QUERY_AGENT |            \
	 QUERY_LABEL | QUERY_TEMPLATE | QUERY_COMMIT | QUERY_CREATED_AFTER | QUERY_CREATED_BEFORE)

static struct query query;
static struct error err;

static int read_text(const char *text, unsigned allowed)
{
	err = (struct error)ERROR_INIT;
	query_release(&query);
	return query_read(text, strlen(text), allowed, &query, &err);
}

TEST(an_empty_query_has_the_defaults)
{
	assert_int_equal(read_text("", 0), 0);
	assert_int_equal(query.limit, QUERY_LIMIT_DEFAULT);
	assert_false(query.limit_given);
	assert_int_equal(query.after, -1);
	assert_null(query.filter);
	assert_string_equal(query.cursor, "");
}

TEST(known_parameters_are_read)
{
	assert_int_equal(read_text("limit=7&status=running&cursor=abc&version=2", ALL), 0);
	assert_int_equal(query.limit, 7);
	assert_true(query.limit_given);
	assert_string_equal(query.filter->status, "running");
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
	static const char letter[] = {'\xC3', '\xA9'};
	char text[256] = "x";
	for (size_t i = 0; i < 40; i++)
		memcpy(text + 1 + sizeof(letter) * i, letter, sizeof(letter));
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

TEST(filters_are_read)
{
	assert_int_equal(
		read_text("branch=fix%2Fcart&agent=claude-code&label=linux&label=gpu&label=gpu&template=review%402&"
				  "commit=ABCDEF0123456789abcdef0123456789abcdef01&created_after=2026-11-28T13:00:00%2B01:00&"
				  "created_before=2026-11-28T12:00:00.5Z",
				  ALL),
		0);
	assert_string_equal(query.filter->branch, "fix/cart");
	assert_string_equal(query.filter->agent, "claude-code");
	assert_int_equal(query.filter->labels_len, 2);
	assert_string_equal(query.filter->template, "review@2");
	assert_string_equal(query.filter->commit, "abcdef0123456789abcdef0123456789abcdef01");
	assert_string_equal(query.filter->created_after, "2026-11-28T12:00:00.000000Z");
	assert_string_equal(query.filter->created_before, "2026-11-28T12:00:00.500000Z");
}

TEST(bad_filters_are_refused_and_all_named)
{
	static const char *const bad[] = {
		"branch=",
		"branch=a%20b",
		"agent=gpt",
		"label=",
		"label=GPU",
		"label=-x",
		"template=Review",
		"template=review@0",
		"template=review@x",
		"template=@1",
		"commit=abc",
		"commit=ABCDEF0123456789abcdef0123456789abcdef0g",
		"created_after=yesterday",
		"created_before=2026-11-28",
		"created_after=2026-11-28T12:00:00Z&created_before=2026-11-28T12:00:00Z",
		"label=1&label=2&label=3&label=4&label=5&label=6&label=7&label=8&label=9",
		"branch=a&branch=b",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(read_text(bad[i], ALL), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	assert_int_equal(
		read_text("status=x&branch=&agent=x&label=X&template=X&commit=X&created_after=X&created_before=X&x", ALL), -1);
	static const char *const names[] = {
		"status", "branch", "agent", "label", "template", "commit", "created_after must", "created_before must",
		"\"x\""};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_non_null(strstr(err.message, names[i]));
}

TEST(a_time_before_there_were_builds_is_the_earliest)
{
	assert_int_equal(read_text("created_after=0000-01-01T00:00:00Z&created_before=1971-01-01T00:00:00Z", ALL), 0);
	assert_string_equal(query.filter->created_after, "1970-01-01T00:00:00.000000Z");
}

TEST(the_order_of_labels_makes_no_other_list)
{
	char first[CURSOR_TAG_SIZE], second[CURSOR_TAG_SIZE];
	assert_int_equal(read_text("label=a&label=b&status=failed", ALL), 0);
	filter_tag(query.filter, "p", first);
	assert_int_equal(read_text("status=failed&label=b&label=a", ALL), 0);
	filter_tag(query.filter, "p", second);
	assert_string_equal(first, second);
}

TEST(other_filters_or_another_owner_are_another_list)
{
	static const char *const others[] = {"status=failed", "status=completed", "branch=failed", "label=failed", ""};
	char tags[ARRAY_LEN(others) + 1][CURSOR_TAG_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(read_text(others[i], ALL), 0);
		filter_tag(query.filter, "p", tags[i]);
	}
	filter_tag(query.filter, "q", tags[ARRAY_LEN(others)]);
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(tags[i], tags[j]);
	}
}

TEST(the_longest_filters_fit_into_a_query)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 8192);
	for (int i = 0; i < FILTER_LABELS_MAX; i++)
		assert_int_equal(buffer_appendf(&text, "label=%063d&", i), 0);
	assert_int_equal(buffer_append_str(&text,
									   "status=completed&agent=claude-code&created_after=2026-01-01T00:00:00Z&"
									   "created_before=2027-01-01T00:00:00Z&commit="),
					 0);
	for (int i = 0; i < 64; i++)
		assert_int_equal(buffer_append_char(&text, 'a'), 0);
	assert_int_equal(buffer_append_str(&text, "&branch="), 0);
	for (int i = 0; i < FILTER_BRANCH_MAX; i++)
		assert_int_equal(buffer_append_str(&text, "%25"), 0);
	assert_int_equal(buffer_appendf(&text, "&template=%063d@2147483647", 1), 0);
	assert_int_equal(read_text(text.data, ALL), 0);
	CLEANUP(buffer_release_p) struct buffer made;
	buffer_init(&made, FILTER_QUERY_MAX);
	filter_append_query(&made, query.filter);
	assert_true(buffer_ok(&made));
	/* and it is read as what it was made of */
	char first[CURSOR_TAG_SIZE], second[CURSOR_TAG_SIZE];
	filter_tag(query.filter, "", first);
	assert_int_equal(read_text(made.data, ALL), 0);
	filter_tag(query.filter, "", second);
	assert_string_equal(first, second);
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
		cmocka_unit_test(filters_are_read),
		cmocka_unit_test(bad_filters_are_refused_and_all_named),
		cmocka_unit_test(a_time_before_there_were_builds_is_the_earliest),
		cmocka_unit_test(the_order_of_labels_makes_no_other_list),
		cmocka_unit_test(other_filters_or_another_owner_are_another_list),
		cmocka_unit_test(the_longest_filters_fit_into_a_query),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	query_release(&query);
	return failed;
}
