#include "tests/unit/unit.h"

#include <string.h>

#include "common/artifacts/glob.h"

/* A path as a walk goes down it. */
static bool fits(const char *text, const char *path)
{
	CLEANUP(glob_free_p) struct glob *glob = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(glob_new(text, &glob, &err), 0);
	glob_state state = glob_start(glob);
	for (const char *at = path; at != NULL;) {
		const char *slash = strchr(at, '/');
		size_t len = slash != NULL ? (size_t)(slash - at) : strlen(at);
		state = glob_step(glob, state, at, len);
		at = slash != NULL ? slash + 1 : NULL;
	}
	return glob_fits(glob, state);
}

static const char *complaint(const char *text)
{
	static struct error err;
	struct glob *glob = NULL;
	err = (struct error)ERROR_INIT;
	assert_int_equal(glob_new(text, &glob, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	return err.message;
}

TEST(a_plain_path_fits_itself_only)
{
	assert_true(fits("a/b.txt", "a/b.txt"));
	assert_false(fits("a/b.txt", "a/b.txtx"));
	assert_false(fits("a/b.txt", "b.txt"));
	assert_false(fits("a/b.txt", "a"));
	assert_false(fits("a", "A"));
}

TEST(a_star_stays_within_one_part)
{
	assert_true(fits("*.xml", "a.xml"));
	assert_true(fits("*.xml", ".xml"));
	assert_true(fits("a*b*c", "aXbYbZc"));
	assert_false(fits("*.xml", "d/a.xml"));
	assert_true(fits("r/*/x", "r/1/x"));
	assert_false(fits("r/*/x", "r/1/2/x"));
}

TEST(two_stars_as_a_part_are_any_number_of_parts)
{
	assert_true(fits("**/*.xml", "a.xml"));
	assert_true(fits("**/*.xml", "a/b/c.xml"));
	assert_true(fits("r/**/x/**/y", "r/x/y"));
	assert_true(fits("r/**/x/**/y", "r/1/x/2/3/x/y"));
	assert_false(fits("r/**/x/**/y", "r/1/2/y"));
	assert_true(fits("r/**", "r/a/b"));
	assert_false(fits("r/**", "s/a"));
}

TEST(two_stars_beside_something_else_are_one)
{
	assert_true(fits("a**b", "aXb"));
	assert_false(fits("a**b", "a/b"));
	assert_false(fits("**.xml", "d/a.xml"));
}

TEST(a_folder_that_fits_brings_all_that_is_below_it)
{
	assert_true(fits("dist", "dist/js/a.js"));
	assert_true(fits("dist/", "dist/js/a.js"));
	assert_true(fits("*", "dist/js/a.js"));
	assert_false(fits("dist", "distx/a.js"));
}

TEST(a_question_mark_is_one_character_of_any_length)
{
	assert_true(fits("a b/\xC3\xA4?.txt", "a b/\xC3\xA4\xF0\x9F\xA7\xB1.txt"));
	assert_false(fits("?", "ab"));
}

TEST(sets_have_ranges_negation_and_a_bracket_that_comes_first)
{
	assert_true(fits("[a-c]x", "bx"));
	assert_false(fits("[a-c]x", "dx"));
	assert_true(fits("[!a-c]x", "dx") && fits("[^a-c]x", "dx"));
	assert_false(fits("[!a-c]x", "bx"));
	assert_true(fits("[]a]", "]") && fits("[!]a]", "b"));
	assert_true(fits("[a-]", "-"));
	assert_true(fits("[\xC3\xA4-\xC3\xBC]", "\xC3\xB6"));
	assert_true(fits("[\\]]", "]"));
	assert_false(fits("[a-\\z]", "-"));
}

TEST(a_backslash_takes_the_meaning_away)
{
	assert_true(fits("\\*", "*"));
	assert_false(fits("\\*", "a"));
	assert_true(fits("\\[a]", "[a]"));
	assert_true(fits("\\!a", "!a"));
}

TEST(braces_and_other_signs_are_themselves)
{
	assert_true(fits("{a,b}", "{a,b}"));
	assert_false(fits("{a,b}", "a"));
	assert_true(fits("a+(b)|$", "a+(b)|$"));
}

TEST(names_that_are_no_utf8_fit_a_star_and_no_character_but_a_question_mark)
{
	assert_true(fits("*", "\xFF\xFE"));
	assert_true(fits("?", "\xFF"));
	assert_false(fits("\xC3\xBF", "\xFF"));
	assert_true(fits("a*", "a\xC3"));
}

TEST(where_nothing_below_can_fit_the_walk_ends)
{
	CLEANUP(glob_free_p) struct glob *glob = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(glob_new("reports/*.xml", &glob, &err), 0);
	assert_int_equal(glob_step(glob, glob_start(glob), "node_modules", 12), 0);
	glob_state reports = glob_step(glob, glob_start(glob), "reports", 7);
	assert_true(reports != 0 && !glob_fits(glob, reports));
	assert_int_equal(glob_step(glob, reports, "deep", 4), 0);
}

TEST(what_cannot_be_meant_is_refused_with_the_reason)
{
	assert_string_equal(complaint(""), "it is empty");
	assert_non_null(strstr(complaint("/etc/passwd"), "absolute"));
	assert_non_null(strstr(complaint("a/../../b"), "leaves the workspace"));
	assert_non_null(strstr(complaint(".."), "leaves the workspace"));
	assert_non_null(strstr(complaint("./a"), "\".\""));
	assert_non_null(strstr(complaint("a//b"), "empty"));
	assert_non_null(strstr(complaint("a//"), "empty"));
	assert_non_null(strstr(complaint("sub/.GIT/config"), ".git"));
	assert_non_null(strstr(complaint("!a"), "exclusions"));
	assert_non_null(strstr(complaint("a[b"), "no ]"));
	assert_non_null(strstr(complaint("[a/b]"), "no ]"));
	assert_non_null(strstr(complaint("[]"), "no ]"));
	assert_non_null(strstr(complaint("[z-a]"), "before it begins"));
	assert_non_null(strstr(complaint("a\\"), "\\"));
}

TEST(a_glob_has_at_most_sixty_parts)
{
	char text[2 * GLOB_MAX_PARTS + 2] = "a";
	struct error err = ERROR_INIT;
	for (size_t i = 1; i < GLOB_MAX_PARTS; i++)
		memcpy(text + 2 * i - 1, "/a", 3);
	CLEANUP(glob_free_p) struct glob *glob = NULL;
	assert_int_equal(glob_new(text, &glob, &err), 0);
	assert_true(fits(text, text));
	memcpy(text + 2UL * GLOB_MAX_PARTS - 1, "/a", 3);
	assert_non_null(strstr(complaint(text), "more than 60 parts"));
}

/* By a backtracking matcher this is 2^64 steps. */
TEST(many_stars_and_a_long_name_take_next_to_no_time)
{
	char text[500], name[256];
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		text[i] = '*', text[i + 1] = 'a';
	text[sizeof(text) - 2] = 'b';
	text[sizeof(text) - 1] = '\0';
	int64_t before_us = unit_cpu_us();
	assert_false(fits(text, name));
	assert_true(unit_cpu_us() - before_us < 5000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_path_fits_itself_only),
		cmocka_unit_test(a_star_stays_within_one_part),
		cmocka_unit_test(two_stars_as_a_part_are_any_number_of_parts),
		cmocka_unit_test(two_stars_beside_something_else_are_one),
		cmocka_unit_test(a_folder_that_fits_brings_all_that_is_below_it),
		cmocka_unit_test(a_question_mark_is_one_character_of_any_length),
		cmocka_unit_test(sets_have_ranges_negation_and_a_bracket_that_comes_first),
		cmocka_unit_test(a_backslash_takes_the_meaning_away),
		cmocka_unit_test(braces_and_other_signs_are_themselves),
		cmocka_unit_test(names_that_are_no_utf8_fit_a_star_and_no_character_but_a_question_mark),
		cmocka_unit_test(where_nothing_below_can_fit_the_walk_ends),
		cmocka_unit_test(what_cannot_be_meant_is_refused_with_the_reason),
		cmocka_unit_test(a_glob_has_at_most_sixty_parts),
		cmocka_unit_test(many_stars_and_a_long_name_take_next_to_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
