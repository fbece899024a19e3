#include "tests/unit/unit.h"

#include <string.h>

#include "executor/git/trailers.h"

static void strips_to(const char *message, const char *expected)
{
	struct buffer out;
	buffer_init(&out, strlen(message) + 64);
	trailers_strip(&out, message);
	assert_string_equal(out.data, expected);
	assert_int_equal(trailers_present(message), strlen(expected) != strlen(message) && strstr(message, "iln-") != NULL);
	buffer_release(&out);
}

TEST(kiln_trailers_go_in_any_case_and_place)
{
	strips_to("Subject\n\nKiln-Build: x", "Subject");
	strips_to("Subject\n\nkiln-BUILD : x\nAcked-by: a", "Subject\n\nAcked-by: a");
	strips_to("Subject\nKiln-Attempt: 1\nBody", "Subject\nBody");
	strips_to("Kiln-Build: as the subject", "");
	strips_to("S\n\n  Kiln-Whatever: indented", "S");
}

TEST(blank_lines_at_the_head_and_the_end_go)
{
	strips_to("\n \t\r\nSubject\n\nBody\n \n", "Subject\n\nBody");
	strips_to("Kiln-Build: x\n\nSubject", "Subject");
	strips_to("\n  Indented", "  Indented");
	strips_to(" \n\v\f\n", "");
}

TEST(continuation_lines_go_with_their_trailer)
{
	strips_to("S\n\nKiln-Build: x\n  continued\n\tagain\nAcked-by: a", "S\n\nAcked-by: a");
	strips_to("S\n\nKiln-Build: x\n\n  not continued", "S\n\n\n  not continued");
}

TEST(text_that_only_mentions_kiln_stays)
{
	static const char *const kept[] = {"About Kiln-Build: it is here", "Kiln- x", "Kiln builds", "My-Kiln-Build: x"};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct buffer out;
		buffer_init(&out, 256);
		trailers_strip(&out, kept[i]);
		assert_string_equal(out.data, kept[i]);
		assert_false(trailers_present(kept[i]));
		buffer_release(&out);
	}
}

static void adds_to(const char *message, const char *expected)
{
	struct buffer text;
	buffer_init(&text, 1024);
	(void)buffer_append_str(&text, message);
	trailers_add(&text, "Kiln-Build", "b");
	trailers_add(&text, "Kiln-Attempt", "1");
	assert_string_equal(text.data, expected);
	assert_true(trailers_have(text.data, "Kiln-Build", "b"));
	buffer_release(&text);
}

TEST(trailers_make_a_paragraph_or_join_one)
{
	adds_to("Subject", "Subject\n\nKiln-Build: b\nKiln-Attempt: 1");
	adds_to("fix: this is a subject", "fix: this is a subject\n\nKiln-Build: b\nKiln-Attempt: 1");
	adds_to("Subject\n\nText.", "Subject\n\nText.\n\nKiln-Build: b\nKiln-Attempt: 1");
	adds_to("Subject\n\nAcked-by: a\nB: c", "Subject\n\nAcked-by: a\nB: c\nKiln-Build: b\nKiln-Attempt: 1");
}

TEST(only_the_whole_line_counts_as_had)
{
	assert_true(trailers_have("S\n\nKiln-Build: b\n", "Kiln-Build", "b"));
	assert_false(trailers_have("S\n\nKiln-Build: bc\n", "Kiln-Build", "b"));
	assert_false(trailers_have("S\n\nx Kiln-Build: b\n", "Kiln-Build", "b"));
	assert_false(trailers_have("", "Kiln-Build", "b"));
}

TEST(a_value_is_what_stands_behind_its_key_to_the_end_of_the_line)
{
	size_t len = 0;
	const char *found = trailers_find("S\n\nKiln-Base: abc\nKiln-Base: later\n", "Kiln-Base", &len);
	assert_non_null(found);
	assert_int_equal(len, 3);
	assert_memory_equal(found, "abc", 3);
	assert_null(trailers_find("S\n\nKiln-Based: abc\n x Kiln-Base: abc", "Kiln-Base", &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kiln_trailers_go_in_any_case_and_place),
		cmocka_unit_test(blank_lines_at_the_head_and_the_end_go),
		cmocka_unit_test(continuation_lines_go_with_their_trailer),
		cmocka_unit_test(text_that_only_mentions_kiln_stays),
		cmocka_unit_test(trailers_make_a_paragraph_or_join_one),
		cmocka_unit_test(only_the_whole_line_counts_as_had),
		cmocka_unit_test(a_value_is_what_stands_behind_its_key_to_the_end_of_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
