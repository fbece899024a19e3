#include "tests/unit/unit.h"

#include <regex.h>

#include "common/json/pattern.h"

static bool matches(const char *pattern, const char *text)
{
	struct error err = ERROR_INIT;
	CLEANUP(pattern_free_p) struct pattern *compiled = NULL;
	if (pattern_new(pattern, &compiled, &err) < 0)
		fail_msg("%s", err.message);
	return pattern_matches(compiled, text, strlen(text));
}

TEST(the_name_rule)
{
	static const char rule[] = "^[a-z0-9][a-z0-9-]{0,62}$";
	char longest[65] = "";
	memset(longest, 'a', 63);
	assert_true(matches(rule, "a") && matches(rule, "a-b-9") && matches(rule, longest));
	longest[63] = 'a';
	assert_false(matches(rule, longest));
	assert_false(matches(rule, "") || matches(rule, "-a") || matches(rule, "A") || matches(rule, "a_") ||
				 matches(rule, "a\n") || matches(rule, "aä"));
}

TEST(without_anchors_it_matches_anywhere)
{
	assert_true(matches("b+c", "aabbcd") && matches("", "") && matches("", "x"));
	assert_true(matches("^ab", "abc") && matches("bc$", "abc"));
	assert_false(matches("^b", "ab") || matches("b$", "ba") || matches("bc", "bbd"));
}

TEST(groups_and_alternatives)
{
	static const char rule[] = "^(ab|c)+(@[1-9][0-9]{0,2})?$";
	assert_true(matches(rule, "ab") && matches(rule, "abcab@12") && matches(rule, "c@999"));
	assert_false(matches(rule, "") || matches(rule, "a") || matches(rule, "c@") || matches(rule, "c@0") ||
				 matches(rule, "c@1234"));
	assert_true(matches("^a|b$", "ax") && matches("^a|b$", "xb"));
	assert_false(matches("^a|b$", "xax"));
	assert_true(matches("^(|x)$", "") && matches("^(|x)$", "x"));
}

TEST(quantifiers)
{
	assert_true(matches("^a?b*c+$", "c") && matches("^a?b*c+$", "abbbcc"));
	assert_false(matches("^a?b*c+$", "aab") || matches("^a{2}$", "a") || matches("^a{2}$", "aaa"));
	assert_true(matches("^a{2,}$", "aaaa") && matches("^a{2,3}$", "aaa") && matches("^a{0}$", ""));
	assert_false(matches("^a{2,3}$", "aaaa") || matches("^a{2,}$", "a"));
	assert_true(matches("^(a*)*$", "aaa") && matches("^(a|b*)*$", "abba"));
}

TEST(sets_and_their_negation)
{
	assert_true(matches("^[+/_.^-]+$", "+/_.^-") && matches("^[^/]$", "x"));
	assert_false(matches("^[^/]$", "/") || matches("^[^a-c]$", "b"));
	assert_true(matches("^[a-]$", "-"));
}

TEST(a_code_point_is_one_character)
{
	assert_true(matches("^.{3}$", "aä€") && matches("^[^x]$", "😀") && matches("^.$", "\x01"));
	assert_false(matches("^.$", "\n") || matches("^[a-z]$", "ä") || matches("^.{2}$", "€"));
}

TEST(escaped_punctuation_is_literal)
{
	assert_true(matches("^\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\^\\$\\\\\\/$", ".*+?()[]{}|^$\\/"));
	assert_false(matches("^a\\.b$", "axb"));
}

TEST(a_dollar_is_the_end_and_not_before_a_last_newline)
{
	assert_false(matches("^a$", "a\n"));
}

TEST(broken_patterns_are_refused_and_named)
{
	static const char *const broken[] = {"(a", "a)", "[a", "[z-a]", "*a", "a{3,2}", "a\\"};
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct error err = ERROR_INIT;
		struct pattern *compiled = NULL;
		if (pattern_new(broken[i], &compiled, &err) == 0)
			fail_msg("accepted: %s", broken[i]);
		assert_null(compiled);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.message, broken[i]));
	}
}

TEST(a_text_that_would_backtrack_for_ever_does_not_match)
{
	char text[64];
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 2] = '!';
	text[sizeof(text) - 1] = '\0';
	assert_false(matches("^(a+)+$", text));
}

TEST(it_agrees_with_regexec)
{
	static const char *const patterns[] = {"^(a|b)*abb$", "a.b|^c",        "(ab)+$", "^a{1,3}b?c*$",
										   "[^ab]c",      "(a|ab)(c|bcd)", "^$",     "b*"};
	for (size_t p = 0; p < ARRAY_LEN(patterns); p++) {
		struct error err = ERROR_INIT;
		struct pattern *ours = NULL;
		regex_t theirs;
		assert_int_equal(pattern_new(patterns[p], &ours, &err), 0);
		assert_int_equal(regcomp(&theirs, patterns[p], REG_EXTENDED | REG_NOSUB), 0);
		for (unsigned n = 0; n < 4096; n++) { /* all texts of a, b, c, d up to length 6 */
			char text[8] = "";
			size_t len = 0;
			for (unsigned rest = n + 1; rest > 1; rest /= 4)
				text[len++] = "abcd"[rest % 4];
			bool expected = regexec(&theirs, text, 0, NULL, 0) == 0;
			if (pattern_matches(ours, text, len) != expected)
				fail_msg("%s on \"%s\"", patterns[p], text);
		}
		regfree(&theirs);
		pattern_free(ours);
	}
}

TEST(free_takes_null)
{
	pattern_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_rule),
		cmocka_unit_test(without_anchors_it_matches_anywhere),
		cmocka_unit_test(groups_and_alternatives),
		cmocka_unit_test(quantifiers),
		cmocka_unit_test(sets_and_their_negation),
		cmocka_unit_test(a_code_point_is_one_character),
		cmocka_unit_test(escaped_punctuation_is_literal),
		cmocka_unit_test(a_dollar_is_the_end_and_not_before_a_last_newline),
		cmocka_unit_test(broken_patterns_are_refused_and_named),
		cmocka_unit_test(a_text_that_would_backtrack_for_ever_does_not_match),
		cmocka_unit_test(it_agrees_with_regexec),
		cmocka_unit_test(free_takes_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
