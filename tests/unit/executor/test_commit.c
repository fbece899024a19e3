#include "tests/unit/unit.h"

#include <string.h>

#include "common/base/alloc.h"
#include "executor/git/commit.h"

static void subject_is(const char *prompt, const char *expected)
{
	CLEANUP(free_p) char *subject = commit_subject(prompt);
	assert_string_equal(subject, expected);
}

TEST(the_subject_is_the_prompts_first_line_that_says_something)
{
	subject_is("Do it.\nAll of it.", "Do it.");
	subject_is("\n\n  \t\r\n\tDo it\r\nAll of it", "Do it");
	subject_is("Do it", "Do it");
	subject_is(" \n\r\n", "");
}

TEST(a_long_line_is_cut_between_two_characters)
{
	char prompt[1000];
	memset(prompt, 'x', 199);
	(void)snprintf(prompt + 199, sizeof(prompt) - 199, "\xc3\xa9 and so on");
	CLEANUP(free_p) char *subject = commit_subject(prompt);
	assert_int_equal(strlen(subject), 199);
	memset(prompt, 'x', sizeof(prompt));
	prompt[sizeof(prompt) - 1] = '\0';
	CLEANUP(free_p) char *longest = commit_subject(prompt);
	assert_int_equal(strlen(longest), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_subject_is_the_prompts_first_line_that_says_something),
		cmocka_unit_test(a_long_line_is_cut_between_two_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
