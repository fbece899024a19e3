#include "tests/unit/unit.h"

#include <string.h>

#include "executor/git/porcelain.h"

#define MAIN "refs/heads/main"
#define C "1111111111111111111111111111111111111111"

static enum push_fate fate_of(const char *summary_line)
{
	struct push_line line;
	assert_int_equal(push_porcelain_read(summary_line, strlen(summary_line), MAIN, &line), 1);
	return line.fate;
}

TEST(every_flag_of_success_means_updated)
{
	assert_int_equal(fate_of(" \t" C ":" MAIN "\taaaaaaa..bbbbbbb"), PUSH_UPDATED);
	assert_int_equal(fate_of("+\t" C ":" MAIN "\taaaaaaa...bbbbbbb (forced update)"), PUSH_UPDATED);
	assert_int_equal(fate_of("*\t" C ":" MAIN "\t[new branch]"), PUSH_UPDATED);
	assert_int_equal(fate_of("=\t" C ":" MAIN "\t[up to date]"), PUSH_UPDATED);
	assert_int_equal(fate_of("-\t:" MAIN "\t[deleted]"), PUSH_UPDATED);
}

TEST(refusals_by_the_leases_are_stale)
{
	static const char *const reasons[] = {
		"[rejected] (stale info)",
		"[rejected] (atomic push failed)",
		"[rejected] (fetch first)",
		"[rejected] (non-fast-forward)",
		"[remote rejected] (atomic transaction failed)",
		"[remote rejected] (failed to update ref)",
		"[remote rejected] (incorrect old value provided)",
		"[remote rejected] (cannot lock ref 'refs/heads/main': is at a but expected b)",
		"[remote rejected] (reference already exists)",
	};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "!\t" C ":" MAIN "\t%s", reasons[i]);
		assert_int_equal(fate_of(text), PUSH_STALE);
	}
}

TEST(a_remote_that_does_not_report_leaves_the_fate_open)
{
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote failure] (remote failed to report status)"), PUSH_SILENT);
}

TEST(hooks_and_rules_are_rejections)
{
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (hook declined)"), PUSH_REJECTED);
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (pre-receive hook declined)"), PUSH_REJECTED);
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (protected branch hook declined)"), PUSH_REJECTED);
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (branch is currently checked out)"), PUSH_REJECTED);
}

TEST(what_the_remote_did_not_take_in_is_neither_stale_nor_a_rule)
{
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (unpacker error)"), PUSH_UNTAKEN);
}

TEST(a_hidden_ref_is_hidden)
{
	assert_int_equal(fate_of("!\t" C ":" MAIN "\t[remote rejected] (deny updating a hidden ref)"), PUSH_HIDDEN);
}

TEST(the_reason_is_the_text_in_parentheses)
{
	const char *text = "!\t" C ":" MAIN "\t[remote rejected] (hook declined)";
	struct push_line line;
	assert_int_equal(push_porcelain_read(text, strlen(text), MAIN, &line), 1);
	assert_string_equal(line.reason, "hook declined");
}

TEST(only_lines_about_the_ref_count)
{
	static const char *const others[] = {
		"To https://example.org/demo.git",
		"Done",
		"",
		"!",
		"*\t" C ":refs/heads/mainline\t[new branch]",
		"*\t" C ":refs/heads/main2\t[new branch]",
		"*\t" C ":refs/kiln/builds/x\t[new reference]",
		"*\t" C ":refs/heads/main",
		"x\t" C ":refs/heads/main\t[new branch]",
		" refs/heads/main",
	};
	struct push_line line = {.fate = PUSH_SILENT};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(push_porcelain_read(others[i], strlen(others[i]), MAIN, &line), 0);
	assert_int_equal(line.fate, PUSH_SILENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flag_of_success_means_updated),
		cmocka_unit_test(refusals_by_the_leases_are_stale),
		cmocka_unit_test(a_remote_that_does_not_report_leaves_the_fate_open),
		cmocka_unit_test(hooks_and_rules_are_rejections),
		cmocka_unit_test(what_the_remote_did_not_take_in_is_neither_stale_nor_a_rule),
		cmocka_unit_test(a_hidden_ref_is_hidden),
		cmocka_unit_test(the_reason_is_the_text_in_parentheses),
		cmocka_unit_test(only_lines_about_the_ref_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
