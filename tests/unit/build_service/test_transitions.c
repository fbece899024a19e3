#include "tests/unit/build_service/lives.h"

#include "common/base/ids.h"
#include "common/base/str.h"
#include "tests/unit/build_service/dice.h"

static struct lives lives;

static int begin(void **state UNUSED)
{
	lives_begin(&lives);
	return 0;
}

static int end(void **state UNUSED)
{
	lives_end(&lives);
	return 0;
}

/* --- every state × every event
 * ----------------------------------------------------------------------------------------------- */

#define YES APPLIED
#define REP APPLIED_REPEAT
#define OLD APPLIED_STALE
#define BAD APPLIED_ILLEGAL

/* clang-format off */
static const enum applied expected[LIFE_COUNT][HAPPENED_COUNT] = {
	/*                        REQ  REF  ASS  ACC  PHA  FIN  LOS  CAN  QTO  STO  LATE */
	[LIFE_NEW]             = {YES, YES, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD},
	[LIFE_QUEUED]          = {REP, REP, YES, OLD, OLD, OLD, OLD, YES, YES, OLD, OLD},
	[LIFE_ASSIGNED]        = {REP, REP, BAD, YES, YES, YES, YES, YES, OLD, OLD, OLD},
	[LIFE_RUNNING]         = {REP, REP, BAD, REP, YES, YES, YES, YES, OLD, OLD, OLD},
	[LIFE_SETTLE_QUEUED]   = {REP, REP, YES, REP, REP, REP, REP, YES, OLD, YES, OLD},
	[LIFE_SETTLE_ASSIGNED] = {REP, REP, BAD, YES, YES, YES, YES, YES, OLD, OLD, OLD},
	[LIFE_SETTLE_RUNNING]  = {REP, REP, BAD, REP, YES, YES, YES, YES, OLD, OLD, OLD},
	[LIFE_ENDED]           = {REP, REP, BAD, REP, REP, REP, REP, REP, OLD, OLD, YES},
};
static const enum life next[LIFE_COUNT][HAPPENED_COUNT] = {
	/*                        REQUEST, REFUSAL, ASSIGN, ACCEPT, PHASE, FINISH, LOSS, CANCEL, QUEUE_TIMEOUT, SETTLE_TIMEOUT, LATE */
	[LIFE_NEW]             = {LIFE_QUEUED, LIFE_ENDED},
	[LIFE_QUEUED]          = {0, 0, LIFE_ASSIGNED, 0, 0, 0, 0, LIFE_ENDED, LIFE_ENDED},
	[LIFE_ASSIGNED]        = {0, 0, 0, LIFE_RUNNING, LIFE_RUNNING, LIFE_ENDED, LIFE_QUEUED, LIFE_ASSIGNED},
	[LIFE_RUNNING]         = {0, 0, 0, 0, LIFE_RUNNING, LIFE_ENDED, LIFE_QUEUED, LIFE_RUNNING},
	[LIFE_SETTLE_QUEUED]   = {0, 0, LIFE_SETTLE_ASSIGNED, 0, 0, 0, 0, LIFE_SETTLE_QUEUED, 0, LIFE_ENDED},
	[LIFE_SETTLE_ASSIGNED] = {0, 0, 0, LIFE_SETTLE_RUNNING, LIFE_SETTLE_RUNNING, LIFE_ENDED, LIFE_SETTLE_QUEUED, LIFE_SETTLE_ASSIGNED},
	[LIFE_SETTLE_RUNNING]  = {0, 0, 0, 0, LIFE_SETTLE_RUNNING, LIFE_ENDED, LIFE_SETTLE_QUEUED, LIFE_SETTLE_RUNNING},
	[LIFE_ENDED]           = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, LIFE_ENDED},
};
/* clang-format on */

TEST(every_event_in_every_state_does_what_the_table_says)
{
	for (int life = 0; life < LIFE_COUNT; life++) {
		for (int what = 0; what < HAPPENED_COUNT; what++) {
			lives_reach(&lives, (enum life)life);
			struct build before = lives.build;
			size_t events = lives.trail.len;
			enum applied applied = lives_happen(&lives, (enum happening)what);
			if (applied != expected[life][what])
				fail_msg("%s × %s: %d, not %d", life_name((enum life)life), happening_name((enum happening)what),
						 applied, expected[life][what]);
			enum life reached = build_life(&lives.build);
			enum life wanted = applied == APPLIED ? next[life][what] : (enum life)life;
			if (reached != wanted)
				fail_msg("%s × %s leads to %s, not %s", life_name((enum life)life),
						 happening_name((enum happening)what), life_name(reached), life_name(wanted));
			if (applied == APPLIED) {
				assert_true(lives.trail.len > events);
			} else {
				assert_int_equal(lives.trail.len, events);
				assert_memory_equal(&before, &lives.build, sizeof(before));
			}
		}
	}
}

TEST(a_message_of_another_token_changes_nothing)
{
	static const enum happening messages[] = {HAPPENED_ACCEPT, HAPPENED_PHASE, HAPPENED_FINISH, HAPPENED_LOSS};
	for (int life = LIFE_QUEUED; life < LIFE_COUNT; life++) {
		for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
			for (int part = 0; part < 3; part++) {
				lives_reach(&lives, (enum life)life);
				struct build before = lives.build;
				struct occurrence occurrence = lives_occurrence(&lives, messages[i]);
				if (part == 0)
					occurrence.token.attempt++;
				else if (part == 1)
					memcpy(occurrence.token.lease_id, LIVES_OTHER_LEASE, UUID_TEXT_SIZE);
				else
					occurrence.token.build_id[0] = 'f';
				assert_int_equal(lives_apply(&lives, &occurrence), APPLIED_STALE);
				assert_memory_equal(&before, &lives.build, sizeof(before));
			}
		}
	}
}

/* The first hundreds go through all of the code, which is what sanitizers look at; they are slow. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define WALKS 300
#else
#define WALKS 3000
#endif

/* Any sequence of events at all: lives_check looks after each. */
TEST(no_sequence_of_events_breaks_what_holds_of_every_build)
{
	for (int walk = 0; walk < WALKS; walk++) {
		lives_reach(&lives, LIFE_NEW);
		lives.build.max_attempts = 1 + dice(3);
		for (int step = 0; step < 40; step++) {
			struct occurrence occurrence = lives_occurrence(&lives, (enum happening)(dice(HAPPENED_COUNT)));
			if (occurrence.what == HAPPENED_PHASE) {
				occurrence.phase.phase = (enum build_phase)(PHASE_PREPARING + dice(4));
				occurrence.phase.commit_sha = occurrence.phase.phase == PHASE_PUSHING ? LIVES_SHA : NULL;
			}
			if (occurrence.what == HAPPENED_FINISH) {
				occurrence.finish.outcome = (enum outcome)(dice(3));
				occurrence.finish.published = dice(2);
				occurrence.finish.closed = dice(2);
				occurrence.finish.retryable = dice(2);
				if (occurrence.finish.outcome != OUTCOME_COMPLETED) {
					occurrence.finish.error_class = "internal";
					occurrence.finish.error_message = "walk";
				}
			}
			if (occurrence.what == HAPPENED_LOSS) {
				occurrence.loss.reason = (enum loss_reason)(dice(LOSS_FAILED));
				occurrence.loss.mass = dice(2);
			}
			bool ended = lives.build.exists && build_ended(&lives.build);
			enum build_status status = lives.build.status;
			(void)lives_apply(&lives, &occurrence);
			if (ended)
				assert_int_equal(lives.build.status, status);
		}
		arena_reset(&lives.arena);
		trail_begin(&lives.trail);
	}
}

/* --- claims
 * ------------------------------------------------------------------------------------------------------------------ */

TEST(each_assignment_gets_the_next_number_even_when_the_one_before_was_not_accepted)
{
	lives_reach(&lives, LIFE_ASSIGNED);
	assert_int_equal(lives.build.attempt.number, 1);
	struct occurrence loss = lives_occurrence(&lives, HAPPENED_LOSS);
	loss.loss.reason = LOSS_ACCEPT_TIMEOUT;
	assert_int_equal(lives_apply(&lives, &loss), APPLIED);
	assert_int_equal(lives.build.attempts_used, 0);
	assert_int_equal(lives.build.losses, 0);
	assert_int_equal(lives.build.queue.not_before_ms, 0);
	lives_happen(&lives, HAPPENED_ASSIGN);
	assert_int_equal(lives.build.attempt.number, 2);
}

TEST(a_restore_makes_attempt_numbers_jump)
{
	lives_reach(&lives, LIFE_QUEUED);
	struct occurrence assign = lives_occurrence(&lives, HAPPENED_ASSIGN);
	assign.assign.epoch = 2;
	lives_apply(&lives, &assign);
	assert_int_equal(lives.build.attempt.number, 2001);
}

TEST(a_build_survives_two_lost_workers_and_not_the_third)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	assert_int_equal(lives.build.queue.not_before_ms, 0); /* the first repeat after a loss does not wait */
	lives_happen(&lives, HAPPENED_ASSIGN);
	lives_happen(&lives, HAPPENED_ACCEPT);
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	assert_true(lives.build.queue.not_before_ms > 0);
	assert_int_equal(lives.build.attempts_used, 0);
	lives_happen(&lives, HAPPENED_ASSIGN);
	lives_happen(&lives, HAPPENED_ACCEPT);
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_string_equal(lives.build.error_class, "worker_lost");
	assert_string_equal(lives_event(&lives, 1), "build.attempt_lost");
	assert_string_equal(lives_event(&lives, 0), "build.failed");
}

TEST(losses_of_many_attempts_at_once_do_not_count_twice_at_most)
{
	lives_reach(&lives, LIFE_QUEUED);
	for (int i = 0; i < 3; i++) {
		lives_happen(&lives, HAPPENED_ASSIGN);
		lives_happen(&lives, HAPPENED_ACCEPT);
		struct occurrence loss = lives_occurrence(&lives, HAPPENED_LOSS);
		loss.loss.mass = true;
		lives_apply(&lives, &loss);
	}
	assert_int_equal(lives.build.mass_losses, 2);
	assert_int_equal(lives.build.losses, 1);
}

static struct occurrence failure(bool retryable)
{
	struct occurrence finish = lives_occurrence(&lives, HAPPENED_FINISH);
	finish.finish.outcome = OUTCOME_FAILED;
	finish.finish.retryable = retryable;
	finish.finish.error_class = "git_unreachable";
	finish.finish.error_message = "no route";
	finish.finish.result = "{\"success\":false}";
	return finish;
}

TEST(a_retryable_failure_is_tried_again_until_the_attempts_are_used)
{
	lives_reach(&lives, LIFE_QUEUED);
	lives.build.max_attempts = 2;
	lives_happen(&lives, HAPPENED_ASSIGN);
	lives_happen(&lives, HAPPENED_ACCEPT);
	struct occurrence failed = failure(true);
	assert_int_equal(lives_apply(&lives, &failed), APPLIED);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	assert_string_equal(lives_event(&lives, 0), "build.attempt_lost");
	assert_true(lives_last_says(&lives, "\"error\":{\"class\":\"git_unreachable\",\"message\":\"no route\"}"));
	assert_true(lives_last_says(&lives, "\"reason\":\"failed\""));
	assert_true(lives_last_says(&lives, "\"status\":\"pending\""));
	assert_true(lives.build.queue.not_before_ms >= 2000);
	lives_happen(&lives, HAPPENED_ASSIGN);
	lives_happen(&lives, HAPPENED_ACCEPT);
	failed = failure(true);
	lives_apply(&lives, &failed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_string_equal(lives.build.result, "{\"success\":false}");
	assert_string_equal(lives.build.error_class, "git_unreachable");
}

TEST(another_failure_ends_the_build_at_once)
{
	lives_reach(&lives, LIFE_RUNNING);
	struct occurrence failed = failure(false);
	lives_apply(&lives, &failed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
}

TEST(a_finish_without_an_accept_starts_first)
{
	lives_reach(&lives, LIFE_ASSIGNED);
	lives_happen(&lives, HAPPENED_FINISH);
	assert_string_equal(lives_event(&lives, 1), "build.started");
	assert_string_equal(lives_event(&lives, 0), "build.completed");
	assert_int_equal(lives.build.attempts_used, 1);
}

TEST(phases_do_not_go_back_and_repeat_only_with_another_commit)
{
	lives_reach(&lives, LIFE_RUNNING);
	struct occurrence pushing = lives_occurrence(&lives, HAPPENED_PHASE);
	pushing.phase.phase = PHASE_PUSHING;
	pushing.phase.commit_sha = LIVES_SHA;
	assert_int_equal(lives_apply(&lives, &pushing), APPLIED);
	assert_int_equal(lives_apply(&lives, &pushing), APPLIED_REPEAT);
	assert_int_equal(lives_happen(&lives, HAPPENED_PHASE), APPLIED_REPEAT); /* agent */
	pushing.phase.commit_sha = "9999999999999999999999999999999999999999";
	assert_int_equal(lives_apply(&lives, &pushing), APPLIED);
	assert_true(lives_last_says(&lives, "\"commit_sha\":\"9999999999999999999999999999999999999999\""));
}

TEST(the_trail_says_what_confines_the_agent)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives_happen(&lives, HAPPENED_PHASE);
	assert_true(lives_last_says(&lives, "\"sandbox\":\"bwrap\""));
}

TEST(the_first_attempt_that_tells_its_base_tells_it_for_all)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives_happen(&lives, HAPPENED_PHASE);
	assert_true(lives_last_says(&lives, "\"base_sha\":\"" LIVES_SHA "\",\"branch\":\"main\""));
	lives_happen(&lives, HAPPENED_LOSS);
	lives_happen(&lives, HAPPENED_ASSIGN);
	struct occurrence agent = lives_occurrence(&lives, HAPPENED_PHASE);
	agent.phase.base_sha = "9999999999999999999999999999999999999999";
	lives_apply(&lives, &agent);
	assert_string_equal(lives.build.base_sha, LIVES_SHA);
	assert_string_equal(lives.build.branch, "main");
}

TEST(an_unborn_branch_is_recorded_too)
{
	lives_reach(&lives, LIFE_RUNNING);
	struct occurrence agent = lives_occurrence(&lives, HAPPENED_PHASE);
	agent.phase.base_sha = NULL;
	lives_apply(&lives, &agent);
	assert_string_equal(lives.build.base_sha, "");
	assert_string_equal(lives.build.branch, "main");
	assert_true(lives_last_says(&lives, "\"base_sha\":null"));
}

TEST(a_queued_build_is_cancelled_at_once_and_a_held_one_by_its_worker)
{
	lives_reach(&lives, LIFE_QUEUED);
	lives_happen(&lives, HAPPENED_CANCEL);
	assert_int_equal(lives.build.status, STATUS_CANCELLED);
	static const enum life held[] = {LIFE_ASSIGNED, LIFE_RUNNING};
	for (size_t i = 0; i < ARRAY_LEN(held); i++) {
		lives_reach(&lives, held[i]);
		assert_int_equal(lives_happen(&lives, HAPPENED_CANCEL), APPLIED);
		assert_int_equal(build_life(&lives.build), held[i]);
		assert_true(lives_last_says(&lives, "\"cancel_requested\":true"));
		assert_int_equal(lives_happen(&lives, HAPPENED_CANCEL), APPLIED_REPEAT);
		struct occurrence finish = failure(false);
		finish.finish.outcome = OUTCOME_CANCELLED;
		finish.finish.error_class = "cancelled";
		lives_apply(&lives, &finish);
		assert_int_equal(lives.build.status, STATUS_CANCELLED);
	}
}

TEST(a_build_with_a_cancel_wish_never_goes_back_to_pending)
{
	static const enum life held[] = {LIFE_ASSIGNED, LIFE_RUNNING};
	for (size_t i = 0; i < ARRAY_LEN(held); i++) {
		lives_reach(&lives, held[i]);
		lives_happen(&lives, HAPPENED_CANCEL);
		lives_happen(&lives, HAPPENED_LOSS);
		assert_int_equal(lives.build.status, STATUS_CANCELLED);
		lives_reach(&lives, held[i]);
		lives_happen(&lives, HAPPENED_CANCEL);
		struct occurrence failed = failure(true);
		lives_apply(&lives, &failed);
		assert_int_equal(lives.build.status, STATUS_CANCELLED);
		assert_string_equal(lives.build.error_class, "cancelled");
	}
}

TEST(a_result_wins_over_a_cancel_wish)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives_happen(&lives, HAPPENED_CANCEL);
	lives_happen(&lives, HAPPENED_FINISH);
	assert_int_equal(lives.build.status, STATUS_COMPLETED);
}

TEST(a_worker_that_hands_an_attempt_back_costs_no_try)
{
	lives_reach(&lives, LIFE_RUNNING);
	struct occurrence finish = failure(true);
	finish.finish.outcome = OUTCOME_CANCELLED;
	lives_apply(&lives, &finish);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	assert_int_equal(lives.build.attempts_used, 0);
	assert_int_equal(lives.build.queue.not_before_ms, 0);
}

/* What the executor reports of an attempt whose lease it could not keep. */
static struct occurrence worker_lost(void)
{
	struct occurrence finish = failure(true);
	finish.finish.error_class = "worker_lost";
	finish.finish.error_message = "the worker lost its connection to Kafka";
	return finish;
}

TEST(an_attempt_that_its_worker_gives_up_for_lost_counts_as_lost)
{
	lives_reach(&lives, LIFE_RUNNING);
	const struct occurrence lost = worker_lost();
	lives_apply(&lives, &lost);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	assert_int_equal(lives.build.attempts_used, 0);
	assert_int_equal(lives.build.losses, 1);
	assert_int_equal(lives.build.queue.not_before_ms, 0);
}

TEST(a_build_that_is_given_up_for_lost_too_often_fails)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives.build.losses = retry_policy_default.max_losses - 1;
	const struct occurrence lost = worker_lost();
	lives_apply(&lives, &lost);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_string_equal(lives.build.error_class, "worker_lost");
}

/* --- settling
 * ---------------------------------------------------------------------------------------------------------------- */

static void reach_pushing(void)
{
	lives_reach(&lives, LIFE_RUNNING);
	struct occurrence pushing = lives_occurrence(&lives, HAPPENED_PHASE);
	pushing.phase.phase = PHASE_PUSHING;
	pushing.phase.commit_sha = LIVES_SHA;
	lives_apply(&lives, &pushing);
}

TEST(a_build_that_reached_pushing_ends_without_a_commit_only_through_settling)
{
	reach_pushing();
	struct occurrence failed = failure(false);
	lives_apply(&lives, &failed);
	assert_int_equal(build_life(&lives.build), LIFE_SETTLE_QUEUED);
	reach_pushing();
	lives_happen(&lives, HAPPENED_CANCEL);
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(build_life(&lives.build), LIFE_SETTLE_QUEUED);
	assert_string_equal(lives_event(&lives, 0), "build.attempt_lost");
	/* Lost, but to be tried again: the next attempt looks by itself. */
	reach_pushing();
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(build_life(&lives.build), LIFE_QUEUED);
	/* And even then neither a cancel nor a time-out ends it without a look. */
	lives_happen(&lives, HAPPENED_CANCEL);
	assert_int_equal(build_life(&lives.build), LIFE_SETTLE_QUEUED);
}

TEST(no_settling_when_the_worker_has_closed_or_published)
{
	reach_pushing();
	struct occurrence failed = failure(false);
	failed.finish.closed = true;
	lives_apply(&lives, &failed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	reach_pushing();
	failed = failure(true);
	failed.finish.published = true;
	lives_apply(&lives, &failed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
}

TEST(a_settling_attempt_that_finds_the_commit_completes_the_build)
{
	lives_reach(&lives, LIFE_SETTLE_RUNNING);
	assert_int_equal(lives.build.attempt.mode, MODE_SETTLE);
	int32_t used = lives.build.attempts_used;
	lives_happen(&lives, HAPPENED_FINISH);
	assert_int_equal(lives.build.status, STATUS_COMPLETED);
	assert_int_equal(lives.build.attempts_used, used);
}

TEST(a_settling_attempt_that_closes_ends_the_build_as_it_would_have_ended)
{
	lives_reach(&lives, LIFE_SETTLE_RUNNING);
	struct occurrence closed = failure(false);
	closed.finish.closed = true;
	lives_apply(&lives, &closed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_string_equal(lives.build.error_class, "push_rejected");
	assert_string_equal(lives.build.result, "{\"success\":false}");
	assert_false(lives_last_says(&lives, "unsettled"));
}

TEST(settling_that_fails_is_tried_again_and_given_up_after_its_time)
{
	lives_reach(&lives, LIFE_SETTLE_RUNNING);
	struct occurrence failed = failure(true);
	lives_apply(&lives, &failed);
	assert_int_equal(build_life(&lives.build), LIFE_SETTLE_QUEUED);
	assert_true(lives.build.queue.not_before_ms > 0);
	lives_happen(&lives, HAPPENED_SETTLE_TIMEOUT);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_true(lives_last_says(&lives, "\"unsettled\":true"));
	lives_reach(&lives, LIFE_SETTLE_RUNNING);
	lives.build.settle_age_ms = retry_policy_default.settle_limit_ms;
	lives_apply(&lives, &failed);
	assert_int_equal(lives.build.status, STATUS_FAILED);
	assert_true(lives_last_says(&lives, "\"unsettled\":true"));
}

TEST(a_cancel_wish_while_settling_ends_it_as_cancelled)
{
	lives_reach(&lives, LIFE_SETTLE_RUNNING);
	lives_happen(&lives, HAPPENED_CANCEL);
	struct occurrence closed = failure(false);
	closed.finish.closed = true;
	lives_apply(&lives, &closed);
	assert_int_equal(lives.build.status, STATUS_CANCELLED);
}

TEST(a_report_of_a_lost_attempt_is_stale_though_no_other_was_assigned_since)
{
	lives_reach(&lives, LIFE_RUNNING);
	lives_happen(&lives, HAPPENED_LOSS);
	assert_int_equal(lives_happen(&lives, HAPPENED_FINISH), APPLIED_STALE);
	assert_int_equal(lives_happen(&lives, HAPPENED_ACCEPT), APPLIED_STALE);
}

TEST(a_late_commit_changes_no_status)
{
	lives_reach(&lives, LIFE_ENDED);
	lives_happen(&lives, HAPPENED_LATE_COMMIT);
	assert_int_equal(lives.build.status, STATUS_COMPLETED);
	assert_true(lives_last_says(&lives, "\"lost_attempt\":1"));
}

TEST(a_refused_request_is_a_failed_build_with_a_trail)
{
	lives_reach(&lives, LIFE_NEW);
	lives_happen(&lives, HAPPENED_REFUSAL);
	assert_string_equal(lives_event(&lives, 1), "build.pending");
	assert_string_equal(lives_event(&lives, 0), "build.failed");
	assert_string_equal(lives.build.error_class, "rejected");
	assert_true(lives_last_says(&lives, "\"error\":{\"class\":\"rejected\",\"message\":\"cannot be run\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_in_every_state_does_what_the_table_says),
		cmocka_unit_test(a_message_of_another_token_changes_nothing),
		cmocka_unit_test(no_sequence_of_events_breaks_what_holds_of_every_build),
		cmocka_unit_test(each_assignment_gets_the_next_number_even_when_the_one_before_was_not_accepted),
		cmocka_unit_test(a_restore_makes_attempt_numbers_jump),
		cmocka_unit_test(a_build_survives_two_lost_workers_and_not_the_third),
		cmocka_unit_test(losses_of_many_attempts_at_once_do_not_count_twice_at_most),
		cmocka_unit_test(a_retryable_failure_is_tried_again_until_the_attempts_are_used),
		cmocka_unit_test(another_failure_ends_the_build_at_once),
		cmocka_unit_test(a_finish_without_an_accept_starts_first),
		cmocka_unit_test(phases_do_not_go_back_and_repeat_only_with_another_commit),
		cmocka_unit_test(the_trail_says_what_confines_the_agent),
		cmocka_unit_test(the_first_attempt_that_tells_its_base_tells_it_for_all),
		cmocka_unit_test(an_unborn_branch_is_recorded_too),
		cmocka_unit_test(a_queued_build_is_cancelled_at_once_and_a_held_one_by_its_worker),
		cmocka_unit_test(a_build_with_a_cancel_wish_never_goes_back_to_pending),
		cmocka_unit_test(a_result_wins_over_a_cancel_wish),
		cmocka_unit_test(a_worker_that_hands_an_attempt_back_costs_no_try),
		cmocka_unit_test(an_attempt_that_its_worker_gives_up_for_lost_counts_as_lost),
		cmocka_unit_test(a_build_that_is_given_up_for_lost_too_often_fails),
		cmocka_unit_test(a_build_that_reached_pushing_ends_without_a_commit_only_through_settling),
		cmocka_unit_test(no_settling_when_the_worker_has_closed_or_published),
		cmocka_unit_test(a_settling_attempt_that_finds_the_commit_completes_the_build),
		cmocka_unit_test(a_settling_attempt_that_closes_ends_the_build_as_it_would_have_ended),
		cmocka_unit_test(settling_that_fails_is_tried_again_and_given_up_after_its_time),
		cmocka_unit_test(a_cancel_wish_while_settling_ends_it_as_cancelled),
		cmocka_unit_test(a_report_of_a_lost_attempt_is_stale_though_no_other_was_assigned_since),
		cmocka_unit_test(a_late_commit_changes_no_status),
		cmocka_unit_test(a_refused_request_is_a_failed_build_with_a_trail),
	};
	return cmocka_run_group_tests_name("transitions", tests, begin, end);
}
