#include "tests/unit/unit.h"

#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "executor/attempt/outcome.h"

static cJSON *written(const struct outcome *outcome)
{
	struct buffer text;
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	buffer_init(&text, OUTCOME_MAX_BYTES + 4096);
	outcome_write(outcome, &text);
	assert_int_equal(json_parse(text.data, text.len, &tree, &err), 0);
	buffer_release(&text);
	return tree;
}

TEST(a_completed_outcome)
{
	struct outcome outcome;
	outcome_init(&outcome);
	outcome.published = true;
	outcome.provider = "command";
	(void)snprintf(outcome.commit_sha, sizeof(outcome.commit_sha), "abc");
	output_tail_add(&outcome.output, "out", 3);
	CLEANUP(cJSON_Delete_p) cJSON *tree = written(&outcome);
	const cJSON *result = json_get(tree, "result");
	assert_string_equal(json_get_string(tree, "outcome"), "completed");
	assert_true(json_get_bool(tree, "published", false));
	assert_true(json_get_bool(result, "success", false));
	assert_true(cJSON_IsNull(json_get(result, "error")));
	assert_string_equal(json_get_string(result, "commit_sha"), "abc");
	assert_string_equal(json_get_string(result, "output"), "out");
	assert_string_equal(json_get_string(json_get(result, "agent"), "provider"), "command");
	outcome_release(&outcome);
}

TEST(the_first_failure_stays_and_names_no_commit)
{
	struct outcome outcome;
	outcome_init(&outcome);
	(void)snprintf(outcome.commit_sha, sizeof(outcome.commit_sha), "abc");
	assert_int_equal(outcome_fail(&outcome, "agent_failed", false, "first %d \xff", 1), -1);
	assert_int_equal(outcome_fail(&outcome, "internal", true, "second"), -1);
	CLEANUP(cJSON_Delete_p) cJSON *tree = written(&outcome);
	const cJSON *result = json_get(tree, "result");
	assert_string_equal(json_get_string(tree, "outcome"), "failed");
	assert_false(json_get_bool(tree, "retryable", true));
	assert_string_equal(json_get_string(json_get(result, "error"), "class"), "agent_failed");
	assert_string_equal(json_get_string(json_get(result, "error"), "message"), "first 1 \xef\xbf\xbd");
	assert_true(cJSON_IsNull(json_get(result, "commit_sha")));
	assert_true(cJSON_IsNull(json_get(result, "output")));
	outcome_release(&outcome);
}

static void git_error_becomes(enum error_kind kind, const char *error_class, bool retryable)
{
	struct outcome outcome;
	struct error err = ERROR_INIT;
	outcome_init(&outcome);
	(void)error_set(&err, kind, "why");
	assert_int_equal(outcome_fail_git(&outcome, &err), -1);
	assert_string_equal(outcome.error_class, error_class);
	assert_int_equal(outcome.retryable, retryable);
	outcome_release(&outcome);
}

TEST(errors_of_git_have_their_classes)
{
	git_error_becomes(ERR_DENIED, "git_auth", false);
	git_error_becomes(ERR_CONFLICT, "git_conflict", false);
	git_error_becomes(ERR_INVALID, "git_unreachable", false);
	git_error_becomes(ERR_NOT_FOUND, "git_unreachable", false);
	git_error_becomes(ERR_UNAVAILABLE, "git_unreachable", true);
	git_error_becomes(ERR_TIMEOUT, "git_unreachable", true);
	git_error_becomes(ERR_LIMIT, "internal", true);
	git_error_becomes(ERR_INTERNAL, "internal", true);
	git_error_becomes(ERR_CANCELLED, "cancelled", false);
}

TEST(what_a_system_call_of_ours_says_is_not_the_remotes)
{
	static const int errnums[] = {EACCES, ENOENT, EMFILE, EIO};
	for (size_t i = 0; i < ARRAY_LEN(errnums); i++) {
		struct outcome outcome;
		struct error err = ERROR_INIT;
		outcome_init(&outcome);
		(void)error_set_errno(&err, errnums[i], "file for ssh");
		assert_int_equal(outcome_fail_git(&outcome, &err), -1);
		assert_string_equal(outcome.error_class, "internal");
		assert_true(outcome.retryable);
		outcome_release(&outcome);
	}
}

TEST(a_cancel_is_its_own_outcome)
{
	struct outcome outcome;
	outcome_init(&outcome);
	assert_int_equal(outcome_cancel(&outcome), -1);
	CLEANUP(cJSON_Delete_p) cJSON *tree = written(&outcome);
	assert_string_equal(json_get_string(tree, "outcome"), "cancelled");
	outcome_release(&outcome);
}

TEST(no_secret_is_in_output_and_error)
{
	struct outcome outcome;
	struct secrets secrets = {.spellings = NULL};
	secrets_add(&secrets, "token-of-kiln");
	outcome_init(&outcome);
	outcome.secrets = &secrets;
	outcome.provider = "command";
	output_tail_add(&outcome.output, "token-of-kiln, out", 18);
	assert_int_equal(outcome_fail(&outcome, "git_auth", false, "not with token-of-kiln or \xff token-of"), -1);
	CLEANUP(cJSON_Delete_p) cJSON *tree = written(&outcome);
	const cJSON *result = json_get(tree, "result");
	assert_string_equal(json_get_string(result, "output"), "[masked], out");
	assert_string_equal(json_get_string(json_get(result, "error"), "message"),
						"not with [masked] or \xef\xbf\xbd [masked]");
	outcome_release(&outcome);
	secrets_release(&secrets);
}

static void is_too_large_with(size_t len)
{
	struct outcome outcome;
	outcome_init(&outcome);
	outcome.published = true;
	outcome.provider = "command";
	(void)snprintf(outcome.branch, sizeof(outcome.branch), "main");
	(void)snprintf(outcome.fence, sizeof(outcome.fence), "abc");
	outcome.report.model = xcalloc(1, len + 1);
	memset(outcome.report.model, 'x', len);
	CLEANUP(cJSON_Delete_p) cJSON *tree = written(&outcome);
	const cJSON *result = json_get(tree, "result");
	assert_string_equal(json_get_string(tree, "outcome"), "failed");
	assert_false(json_get_bool(tree, "published", true));
	assert_true(json_get_bool(tree, "retryable", false));
	assert_string_equal(json_get_string(tree, "fence"), "abc");
	assert_string_equal(json_get_string(json_get(result, "error"), "class"), "internal");
	assert_string_equal(json_get_string(result, "branch"), "main");
	outcome_release(&outcome);
}

TEST(what_no_message_can_hold_is_told_as_a_failure)
{
	is_too_large_with(OUTCOME_MAX_BYTES);
	is_too_large_with(2 * OUTCOME_MAX_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_completed_outcome),
		cmocka_unit_test(the_first_failure_stays_and_names_no_commit),
		cmocka_unit_test(errors_of_git_have_their_classes),
		cmocka_unit_test(what_a_system_call_of_ours_says_is_not_the_remotes),
		cmocka_unit_test(a_cancel_is_its_own_outcome),
		cmocka_unit_test(no_secret_is_in_output_and_error),
		cmocka_unit_test(what_no_message_can_hold_is_told_as_a_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
