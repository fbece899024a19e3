#include "tests/unit/unit.h"

#include <string.h>

#include "executor/attempt/assignment.h"

#define TOKEN                                                                                                          \
	"\"build_id\":\"019363b1-aaaa-7000-8000-000000000001\",\"attempt\":2,\"lease_id\":\"11111111-1111-4111-8111-"      \
	"111111111111\""
#define SHA "1111111111111111111111111111111111111111"
#define PROJECT "\"project\":{\"id\":\"x\",\"name\":\"demo\"}"
#define GIT "\"git\":{\"url\":\"https://h/x.git\",\"credential\":null,\"create_missing\":true}"
#define SPEC                                                                                                           \
	"\"spec\":{\"prompt\":\"p\",\"auto_commit\":true,\"auto_push\":false,\"agent\":{\"provider\":\"command\","         \
	"\"command\":\"c\"},\"timeout_s\":60,\"branch\":\"b\",\"commit_message\":null}"

static int assign(const char *json, struct assignment *ret, struct error *err)
{
	return assignment_read(json, strlen(json), ret, err);
}

TEST(a_run_is_read)
{
	struct assignment a;
	struct error err = ERROR_INIT;
	assert_int_equal(assign("{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "," SPEC ",\"base_sha\":\"" SHA
							"\",\"branch\":null,\"earlier\":[{\"attempt\":1,\"commit_sha\":\"" SHA
							"\"},{\"attempt\":1,\"commit_sha\":null}],\"settle_end\":null}",
							&a, &err),
					 0);
	assert_int_equal(a.mode, MODE_RUN);
	assert_string_equal(a.prompt, "p");
	assert_true(a.auto_commit);
	assert_false(a.auto_push);
	assert_string_equal(a.branch, "b");
	assert_true(a.has_earlier);
	assert_int_equal(a.announced_len, 1);
	assert_string_equal(a.announced[0], SHA);
	assert_true(a.create_missing);
	assert_null(a.credential);
	assignment_release(&a);
}

TEST(the_first_attempts_branch_wins_over_the_specs)
{
	struct assignment a;
	struct error err = ERROR_INIT;
	assert_int_equal(assign("{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "," SPEC
							",\"branch\":\"resolved\",\"earlier\":[]}",
							&a, &err),
					 0);
	assert_string_equal(a.branch, "resolved");
	assert_false(a.has_earlier);
	assignment_release(&a);
}

TEST(settling_needs_its_end)
{
	struct assignment a;
	struct error err = ERROR_INIT;
	assert_int_equal(assign("{" TOKEN ",\"mode\":\"settle\"," PROJECT "," GIT "," SPEC
							",\"earlier\":[],\"settle_end\":null}",
							&a, &err),
					 -1);
	assert_int_equal(assign("{" TOKEN ",\"mode\":\"settle\"," PROJECT "," GIT "," SPEC
							",\"earlier\":[],\"settle_end\":{\"status\":\"failed\",\"error\":{\"class\":\"internal\","
							"\"message\":\"m\"}}}",
							&a, &err),
					 0);
	assert_string_equal(a.settle_class, "internal");
	assignment_release(&a);
}

TEST(malformed_assignments_are_refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{" TOKEN ",\"mode\":\"other\"," PROJECT "," GIT "," SPEC "}",
		"{" TOKEN ",\"mode\":\"run\"," GIT "," SPEC "}",
		"{" TOKEN ",\"mode\":\"run\"," PROJECT "," SPEC "}",
		"{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "}",
		"{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "," SPEC ",\"branch\":\"../x\"}",
		"{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "," SPEC ",\"base_sha\":\"HEAD\"}",
		"{" TOKEN ",\"mode\":\"run\"," PROJECT "," GIT "," SPEC ",\"earlier\":[{\"commit_sha\":\"--exec=x\"}]}",
		"{" TOKEN ",\"mode\":\"tidy\"," PROJECT "," GIT ",\"fence\":\"x\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct assignment a;
		struct error err = ERROR_INIT;
		assert_int_equal(assign(bad[i], &a, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

TEST(branch_names_that_git_takes_otherwise_are_unsafe)
{
	static const char *const good[] = {"main", "a",     "feature/x", "release-1.2", "a.b/c.d",
									   "_x",   "a/b/c", "1",         "a@b",         "a+b=c#d"};
	static const char *const bad[] = {"",       "-x",       "/x",   "x/",       "x//y", ".x", "x/.y", "x.", "x./y",
									  "a..b",   "x y",      "x:y",  "x~1",      "x^",   "x?", "x*",   "x[", "x\\y",
									  "x.lock", "x.lock/y", "a@{b", "\xc3\xa4", "x\ny", "+x", "@"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!branch_is_safe(good[i]))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (branch_is_safe(bad[i]))
			fail_msg("accepted: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_is_read),
		cmocka_unit_test(the_first_attempts_branch_wins_over_the_specs),
		cmocka_unit_test(settling_needs_its_end),
		cmocka_unit_test(malformed_assignments_are_refused),
		cmocka_unit_test(branch_names_that_git_takes_otherwise_are_unsafe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
