/* What the phases of an attempt leave in the build and its trail. */
#include "tests/unit/build_service/lives.h"

TEST(a_finish_without_an_accept_starts_first)
{
	lives_reach(&sample, LIFE_ASSIGNED);
	lives_happen(&sample, HAPPENED_FINISH);
	assert_string_equal(lives_event(&sample, 1), "build.started");
	assert_string_equal(lives_event(&sample, 0), "build.completed");
	assert_int_equal(sample.build.attempts_used, 1);
}

TEST(phases_do_not_go_back_and_repeat_only_with_another_commit)
{
	lives_reach(&sample, LIFE_RUNNING);
	struct occurrence pushing = lives_occurrence(&sample, HAPPENED_PHASE);
	pushing.phase.phase = PHASE_PUSHING;
	pushing.phase.commit_sha = LIVES_SHA;
	assert_int_equal(lives_apply(&sample, &pushing), APPLIED);
	assert_int_equal(lives_apply(&sample, &pushing), APPLIED_REPEAT);
	assert_int_equal(lives_happen(&sample, HAPPENED_PHASE), APPLIED_REPEAT); /* agent */
	pushing.phase.commit_sha = "9999999999999999999999999999999999999999";
	assert_int_equal(lives_apply(&sample, &pushing), APPLIED);
	assert_true(lives_last_says(&sample, "\"commit_sha\":\"9999999999999999999999999999999999999999\""));
}

TEST(the_trail_says_what_confines_the_agent)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_PHASE);
	assert_true(lives_last_says(&sample, "\"sandbox\":\"bwrap\""));
}

TEST(the_first_attempt_that_tells_its_base_tells_it_for_all)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_PHASE);
	assert_true(lives_last_says(&sample, "\"base_sha\":\"" LIVES_SHA "\",\"branch\":\"main\""));
	lives_happen(&sample, HAPPENED_LOSS);
	lives_happen(&sample, HAPPENED_ASSIGN);
	struct occurrence agent = lives_occurrence(&sample, HAPPENED_PHASE);
	agent.phase.base_sha = "9999999999999999999999999999999999999999";
	lives_apply(&sample, &agent);
	assert_string_equal(sample.build.base_sha, LIVES_SHA);
	assert_string_equal(sample.build.branch, "main");
}

TEST(an_unborn_branch_is_recorded_too)
{
	lives_reach(&sample, LIFE_RUNNING);
	struct occurrence agent = lives_occurrence(&sample, HAPPENED_PHASE);
	agent.phase.base_sha = NULL;
	lives_apply(&sample, &agent);
	assert_string_equal(sample.build.base_sha, "");
	assert_string_equal(sample.build.branch, "main");
	assert_true(lives_last_says(&sample, "\"base_sha\":null"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_finish_without_an_accept_starts_first),
		cmocka_unit_test(phases_do_not_go_back_and_repeat_only_with_another_commit),
		cmocka_unit_test(the_trail_says_what_confines_the_agent),
		cmocka_unit_test(the_first_attempt_that_tells_its_base_tells_it_for_all),
		cmocka_unit_test(an_unborn_branch_is_recorded_too),
	};
	return cmocka_run_group_tests_name("phases", tests, lives_set_up, lives_tear_down);
}
