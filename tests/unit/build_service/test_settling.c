/* A build that reached pushing ends by somebody's look at what the push came to. */
#include "tests/unit/build_service/lives.h"

static void reach_pushing(void)
{
	lives_reach(&sample, LIFE_RUNNING);
	struct occurrence pushing = lives_occurrence(&sample, HAPPENED_PHASE);
	pushing.phase.phase = PHASE_PUSHING;
	pushing.phase.commit_sha = LIVES_SHA;
	lives_apply(&sample, &pushing);
}

TEST(a_build_that_reached_pushing_ends_without_a_commit_only_through_settling)
{
	reach_pushing();
	struct occurrence failed = lives_failure(&sample, false);
	lives_apply(&sample, &failed);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
	reach_pushing();
	lives_happen(&sample, HAPPENED_CANCEL);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
	assert_string_equal(lives_event(&sample, 0), "build.attempt_lost");
	/* Lost, but to be tried again: the next attempt looks by itself. */
	reach_pushing();
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	/* And even then neither a cancel nor a time-out ends it without a look. */
	lives_happen(&sample, HAPPENED_CANCEL);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
}

TEST(a_push_that_is_told_after_its_attempt_was_lost_is_settled_too)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(lives_happen(&sample, HAPPENED_LATE_PUSH), APPLIED);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_string_equal(sample.build.attempt.commit_sha, LIVES_SHA);
	assert_true(lives_last_says(&sample, "\"lost_attempt\":1"));
	assert_int_equal(lives_happen(&sample, HAPPENED_LATE_PUSH), APPLIED_REPEAT);
	lives_happen(&sample, HAPPENED_CANCEL);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
}

TEST(a_push_of_an_earlier_attempt_is_not_taken_for_the_present_ones)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_LOSS);
	lives_happen(&sample, HAPPENED_ASSIGN);
	assert_int_equal(lives_happen(&sample, HAPPENED_LATE_PUSH), APPLIED);
	assert_string_equal(sample.build.attempt.commit_sha, "");
	struct occurrence failed = lives_failure(&sample, false);
	lives_apply(&sample, &failed);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
}

TEST(no_settling_when_the_worker_has_closed_or_published)
{
	reach_pushing();
	struct occurrence failed = lives_failure(&sample, false);
	failed.finish.closed = true;
	lives_apply(&sample, &failed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	reach_pushing();
	failed = lives_failure(&sample, true);
	failed.finish.published = true;
	lives_apply(&sample, &failed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
}

TEST(a_run_without_a_commit_that_could_not_close_after_a_push_completes_unsettled)
{
	reach_pushing();
	struct occurrence unchanged = lives_occurrence(&sample, HAPPENED_FINISH);
	unchanged.finish.published = false;
	lives_apply(&sample, &unchanged);
	assert_int_equal(sample.build.status, STATUS_COMPLETED);
	assert_true(lives_last_says(&sample, "\"unsettled\":true"));
	reach_pushing();
	unchanged = lives_occurrence(&sample, HAPPENED_FINISH);
	unchanged.finish.published = false;
	unchanged.finish.closed = true;
	lives_apply(&sample, &unchanged);
	assert_false(lives_last_says(&sample, "unsettled"));
}

TEST(a_settling_attempt_that_finds_the_commit_completes_the_build)
{
	lives_reach(&sample, LIFE_SETTLE_RUNNING);
	assert_int_equal(sample.build.attempt.mode, MODE_SETTLE);
	int32_t used = sample.build.attempts_used;
	lives_happen(&sample, HAPPENED_FINISH);
	assert_int_equal(sample.build.status, STATUS_COMPLETED);
	assert_int_equal(sample.build.attempts_used, used);
}

TEST(a_settling_attempt_that_closes_ends_the_build_as_it_would_have_ended)
{
	lives_reach(&sample, LIFE_SETTLE_RUNNING);
	struct occurrence closed = lives_failure(&sample, false);
	closed.finish.closed = true;
	lives_apply(&sample, &closed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_string_equal(sample.build.error_class, "push_rejected");
	assert_string_equal(sample.build.result, "{\"success\":false}");
	assert_false(lives_last_says(&sample, "unsettled"));
}

TEST(settling_that_fails_is_tried_again_and_given_up_after_its_time)
{
	lives_reach(&sample, LIFE_SETTLE_RUNNING);
	struct occurrence failed = lives_failure(&sample, true);
	lives_apply(&sample, &failed);
	assert_int_equal(build_life(&sample.build), LIFE_SETTLE_QUEUED);
	assert_true(sample.build.queue.not_before_ms > 0);
	lives_happen(&sample, HAPPENED_SETTLE_TIMEOUT);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_true(lives_last_says(&sample, "\"unsettled\":true"));
	lives_reach(&sample, LIFE_SETTLE_RUNNING);
	sample.build.settle_age_ms = retry_policy_default.settle_limit_ms;
	lives_apply(&sample, &failed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_true(lives_last_says(&sample, "\"unsettled\":true"));
}

TEST(a_cancel_wish_while_settling_ends_it_as_cancelled)
{
	lives_reach(&sample, LIFE_SETTLE_RUNNING);
	lives_happen(&sample, HAPPENED_CANCEL);
	struct occurrence closed = lives_failure(&sample, false);
	closed.finish.closed = true;
	lives_apply(&sample, &closed);
	assert_int_equal(sample.build.status, STATUS_CANCELLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_build_that_reached_pushing_ends_without_a_commit_only_through_settling),
		cmocka_unit_test(a_push_that_is_told_after_its_attempt_was_lost_is_settled_too),
		cmocka_unit_test(a_push_of_an_earlier_attempt_is_not_taken_for_the_present_ones),
		cmocka_unit_test(no_settling_when_the_worker_has_closed_or_published),
		cmocka_unit_test(a_run_without_a_commit_that_could_not_close_after_a_push_completes_unsettled),
		cmocka_unit_test(a_settling_attempt_that_finds_the_commit_completes_the_build),
		cmocka_unit_test(a_settling_attempt_that_closes_ends_the_build_as_it_would_have_ended),
		cmocka_unit_test(settling_that_fails_is_tried_again_and_given_up_after_its_time),
		cmocka_unit_test(a_cancel_wish_while_settling_ends_it_as_cancelled),
	};
	return cmocka_run_group_tests_name("settling", tests, lives_set_up, lives_tear_down);
}
