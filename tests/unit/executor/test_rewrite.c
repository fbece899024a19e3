#include "tests/unit/unit.h"

#include <string.h>

#include "common/base/alloc.h"
#include "executor/git/rewrite.h"

static const struct commit_identity identity = {.build_id = "b", .attempt = 1};

static void becomes(const char *message, const struct commit_identity *by, const char *expected)
{
	CLEANUP(free_p) char *rewritten = rewrite_message(message, by, NULL);
	assert_string_equal(rewritten, expected);
}

TEST(a_signed_message_has_a_subject_and_the_trailers_below_it)
{
	becomes("Do it\n", &identity, "Do it\n\nKiln-Build: b\nKiln-Attempt: 1\n");
	becomes("", &identity, "Build b\n\nKiln-Build: b\nKiln-Attempt: 1\n");
	becomes(" \n\n", &identity, "Build b\n\nKiln-Build: b\nKiln-Attempt: 1\n");
	becomes("Kiln-Build: forged", &identity, "Build b\n\nKiln-Build: b\nKiln-Attempt: 1\n");
	becomes("\n\nAcked-by: a", &identity, "Acked-by: a\n\nKiln-Build: b\nKiln-Attempt: 1\n");
}

TEST(what_its_parent_does_not_say_is_a_trailer_too)
{
	CLEANUP(free_p) char *rewritten = rewrite_message("Do it\n\nKiln-Base: forged\n", &identity, "1234");
	assert_string_equal(rewritten, "Do it\n\nKiln-Build: b\nKiln-Attempt: 1\nKiln-Base: 1234\n");
}

TEST(a_message_that_is_not_signed_only_loses_trailers)
{
	becomes("Mine\n\nKiln-Build: forged\n", NULL, "Mine\n");
	becomes("Kiln-Build: forged\n", NULL, "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signed_message_has_a_subject_and_the_trailers_below_it),
		cmocka_unit_test(what_its_parent_does_not_say_is_a_trailer_too),
		cmocka_unit_test(a_message_that_is_not_signed_only_loses_trailers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
