#include "tests/unit/build_service/lives.h"

#include "common/base/ids.h"
#include "common/base/str.h"
#include "tests/unit/build_service/dice.h"

#define YES APPLIED
#define REP APPLIED_REPEAT
#define OLD APPLIED_STALE
#define BAD APPLIED_ILLEGAL

/* clang-format off */
static const enum applied expected[LIFE_COUNT][HAPPENED_COUNT] = {
	/*                        REQ  REF  ASS  ACC  PHA  FIN  LOS  CAN  QTO  STO  LATE PUSH */
	[LIFE_NEW]             = {YES, YES, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD},
	[LIFE_QUEUED]          = {REP, REP, YES, OLD, OLD, OLD, OLD, YES, YES, OLD, OLD, YES},
	[LIFE_ASSIGNED]        = {REP, REP, BAD, YES, YES, YES, YES, YES, OLD, OLD, OLD, YES},
	[LIFE_RUNNING]         = {REP, REP, BAD, REP, YES, YES, YES, YES, OLD, OLD, OLD, YES},
	[LIFE_SETTLE_QUEUED]   = {REP, REP, YES, REP, REP, REP, REP, YES, OLD, YES, OLD, REP},
	[LIFE_SETTLE_ASSIGNED] = {REP, REP, BAD, YES, YES, YES, YES, YES, OLD, OLD, OLD, REP},
	[LIFE_SETTLE_RUNNING]  = {REP, REP, BAD, REP, YES, YES, YES, YES, OLD, OLD, OLD, REP},
	[LIFE_ENDED]           = {REP, REP, BAD, REP, REP, REP, REP, REP, OLD, OLD, YES, OLD},
};
static const enum life next[LIFE_COUNT][HAPPENED_COUNT] = {
	/*                        REQUEST, REFUSAL, ASSIGN, ACCEPT, PHASE, FINISH, LOSS, CANCEL, QUEUE_TIMEOUT, SETTLE_TIMEOUT, LATE, LATE_PUSH */
	[LIFE_NEW]             = {LIFE_QUEUED, LIFE_ENDED},
	[LIFE_QUEUED]          = {0, 0, LIFE_ASSIGNED, 0, 0, 0, 0, LIFE_ENDED, LIFE_ENDED, 0, 0, LIFE_QUEUED},
	[LIFE_ASSIGNED]        = {0, 0, 0, LIFE_RUNNING, LIFE_RUNNING, LIFE_ENDED, LIFE_QUEUED, LIFE_ASSIGNED, 0, 0, 0, LIFE_ASSIGNED},
	[LIFE_RUNNING]         = {0, 0, 0, 0, LIFE_RUNNING, LIFE_ENDED, LIFE_QUEUED, LIFE_RUNNING, 0, 0, 0, LIFE_RUNNING},
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
			lives_reach(&sample, (enum life)life);
			struct build before = sample.build;
			size_t events = sample.trail.len;
			enum applied applied = lives_happen(&sample, (enum happening)what);
			if (applied != expected[life][what])
				fail_msg("%s × %s: %d, not %d", life_name((enum life)life), happening_name((enum happening)what),
						 applied, expected[life][what]);
			enum life reached = build_life(&sample.build);
			enum life wanted = applied == APPLIED ? next[life][what] : (enum life)life;
			if (reached != wanted)
				fail_msg("%s × %s leads to %s, not %s", life_name((enum life)life),
						 happening_name((enum happening)what), life_name(reached), life_name(wanted));
			if (applied == APPLIED) {
				assert_true(sample.trail.len > events);
			} else {
				assert_int_equal(sample.trail.len, events);
				assert_memory_equal(&before, &sample.build, sizeof(before));
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
				lives_reach(&sample, (enum life)life);
				struct build before = sample.build;
				struct occurrence occurrence = lives_occurrence(&sample, messages[i]);
				if (part == 0)
					occurrence.token.attempt++;
				else if (part == 1)
					memcpy(occurrence.token.lease_id, LIVES_OTHER_LEASE, UUID_TEXT_SIZE);
				else
					occurrence.token.build_id[0] = 'f';
				assert_int_equal(lives_apply(&sample, &occurrence), APPLIED_STALE);
				assert_memory_equal(&before, &sample.build, sizeof(before));
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
		lives_reach(&sample, LIFE_NEW);
		sample.build.max_attempts = 1 + dice(3);
		for (int step = 0; step < 40; step++) {
			struct occurrence occurrence = lives_occurrence(&sample, (enum happening)(dice(HAPPENED_COUNT)));
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
			bool ended = sample.build.exists && build_ended(&sample.build);
			enum build_status status = sample.build.status;
			(void)lives_apply(&sample, &occurrence);
			if (ended)
				assert_int_equal(sample.build.status, status);
		}
		arena_reset(&sample.arena);
		trail_begin(&sample.trail);
	}
}

TEST(each_assignment_gets_the_next_number_even_when_the_one_before_was_not_accepted)
{
	lives_reach(&sample, LIFE_ASSIGNED);
	assert_int_equal(sample.build.attempt.number, 1);
	struct occurrence loss = lives_occurrence(&sample, HAPPENED_LOSS);
	loss.loss.reason = LOSS_ACCEPT_TIMEOUT;
	assert_int_equal(lives_apply(&sample, &loss), APPLIED);
	assert_int_equal(sample.build.attempts_used, 0);
	assert_int_equal(sample.build.losses, 0);
	assert_int_equal(sample.build.queue.not_before_ms, 0);
	lives_happen(&sample, HAPPENED_ASSIGN);
	assert_int_equal(sample.build.attempt.number, 2);
}

TEST(a_restore_makes_attempt_numbers_jump)
{
	lives_reach(&sample, LIFE_QUEUED);
	struct occurrence assign = lives_occurrence(&sample, HAPPENED_ASSIGN);
	assign.assign.epoch = 2;
	lives_apply(&sample, &assign);
	assert_int_equal(sample.build.attempt.number, 2001);
}

TEST(a_build_survives_two_lost_workers_and_not_the_third)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_int_equal(sample.build.queue.not_before_ms, 0); /* the first repeat after a loss does not wait */
	lives_happen(&sample, HAPPENED_ASSIGN);
	lives_happen(&sample, HAPPENED_ACCEPT);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_true(sample.build.queue.not_before_ms > 0);
	assert_int_equal(sample.build.attempts_used, 0);
	lives_happen(&sample, HAPPENED_ASSIGN);
	lives_happen(&sample, HAPPENED_ACCEPT);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_string_equal(sample.build.error_class, "worker_lost");
	assert_string_equal(lives_event(&sample, 1), "build.attempt_lost");
	assert_string_equal(lives_event(&sample, 0), "build.failed");
}

TEST(losses_of_many_attempts_at_once_do_not_count_twice_at_most)
{
	lives_reach(&sample, LIFE_QUEUED);
	for (int i = 0; i < 3; i++) {
		lives_happen(&sample, HAPPENED_ASSIGN);
		lives_happen(&sample, HAPPENED_ACCEPT);
		struct occurrence loss = lives_occurrence(&sample, HAPPENED_LOSS);
		loss.loss.mass = true;
		lives_apply(&sample, &loss);
	}
	assert_int_equal(sample.build.mass_losses, 2);
	assert_int_equal(sample.build.losses, 1);
}

TEST(a_retryable_failure_is_tried_again_until_the_attempts_are_used)
{
	lives_reach(&sample, LIFE_QUEUED);
	sample.build.max_attempts = 2;
	lives_happen(&sample, HAPPENED_ASSIGN);
	lives_happen(&sample, HAPPENED_ACCEPT);
	struct occurrence failed = lives_failure(&sample, true);
	assert_int_equal(lives_apply(&sample, &failed), APPLIED);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_string_equal(lives_event(&sample, 0), "build.attempt_lost");
	assert_true(lives_last_says(&sample, "\"error\":{\"class\":\"git_unreachable\",\"message\":\"no route\"}"));
	assert_true(lives_last_says(&sample, "\"reason\":\"failed\""));
	assert_true(lives_last_says(&sample, "\"status\":\"pending\""));
	assert_true(sample.build.queue.not_before_ms >= 2000);
	lives_happen(&sample, HAPPENED_ASSIGN);
	lives_happen(&sample, HAPPENED_ACCEPT);
	failed = lives_failure(&sample, true);
	lives_apply(&sample, &failed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_string_equal(sample.build.result, "{\"success\":false}");
	assert_string_equal(sample.build.error_class, "git_unreachable");
}

TEST(another_failure_ends_the_build_at_once)
{
	lives_reach(&sample, LIFE_RUNNING);
	struct occurrence failed = lives_failure(&sample, false);
	lives_apply(&sample, &failed);
	assert_int_equal(sample.build.status, STATUS_FAILED);
}

TEST(a_queued_build_is_cancelled_at_once_and_a_held_one_by_its_worker)
{
	lives_reach(&sample, LIFE_QUEUED);
	lives_happen(&sample, HAPPENED_CANCEL);
	assert_int_equal(sample.build.status, STATUS_CANCELLED);
	static const enum life held[] = {LIFE_ASSIGNED, LIFE_RUNNING};
	for (size_t i = 0; i < ARRAY_LEN(held); i++) {
		lives_reach(&sample, held[i]);
		assert_int_equal(lives_happen(&sample, HAPPENED_CANCEL), APPLIED);
		assert_int_equal(build_life(&sample.build), held[i]);
		assert_true(lives_last_says(&sample, "\"cancel_requested\":true"));
		assert_int_equal(lives_happen(&sample, HAPPENED_CANCEL), APPLIED_REPEAT);
		struct occurrence finish = lives_failure(&sample, false);
		finish.finish.outcome = OUTCOME_CANCELLED;
		finish.finish.error_class = "cancelled";
		lives_apply(&sample, &finish);
		assert_int_equal(sample.build.status, STATUS_CANCELLED);
	}
}

TEST(a_build_with_a_cancel_wish_never_goes_back_to_pending)
{
	static const enum life held[] = {LIFE_ASSIGNED, LIFE_RUNNING};
	for (size_t i = 0; i < ARRAY_LEN(held); i++) {
		lives_reach(&sample, held[i]);
		lives_happen(&sample, HAPPENED_CANCEL);
		lives_happen(&sample, HAPPENED_LOSS);
		assert_int_equal(sample.build.status, STATUS_CANCELLED);
		lives_reach(&sample, held[i]);
		lives_happen(&sample, HAPPENED_CANCEL);
		struct occurrence failed = lives_failure(&sample, true);
		lives_apply(&sample, &failed);
		assert_int_equal(sample.build.status, STATUS_CANCELLED);
		assert_string_equal(sample.build.error_class, "cancelled");
	}
}

TEST(a_result_wins_over_a_cancel_wish)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_CANCEL);
	lives_happen(&sample, HAPPENED_FINISH);
	assert_int_equal(sample.build.status, STATUS_COMPLETED);
}

TEST(a_worker_that_hands_an_attempt_back_costs_no_try)
{
	lives_reach(&sample, LIFE_RUNNING);
	struct occurrence finish = lives_failure(&sample, true);
	finish.finish.outcome = OUTCOME_CANCELLED;
	lives_apply(&sample, &finish);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_int_equal(sample.build.attempts_used, 0);
	assert_int_equal(sample.build.queue.not_before_ms, 0);
}

/* What the executor reports of an attempt whose lease it could not keep. */
static struct occurrence worker_lost(void)
{
	struct occurrence finish = lives_failure(&sample, true);
	finish.finish.error_class = "worker_lost";
	finish.finish.error_message = "the worker lost its connection to Kafka";
	return finish;
}

TEST(an_attempt_that_its_worker_gives_up_for_lost_counts_as_lost)
{
	lives_reach(&sample, LIFE_RUNNING);
	const struct occurrence lost = worker_lost();
	lives_apply(&sample, &lost);
	assert_int_equal(build_life(&sample.build), LIFE_QUEUED);
	assert_int_equal(sample.build.attempts_used, 0);
	assert_int_equal(sample.build.losses, 1);
	assert_int_equal(sample.build.queue.not_before_ms, 0);
}

TEST(a_build_that_is_given_up_for_lost_too_often_fails)
{
	lives_reach(&sample, LIFE_RUNNING);
	sample.build.losses = retry_policy_default.max_losses - 1;
	const struct occurrence lost = worker_lost();
	lives_apply(&sample, &lost);
	assert_int_equal(sample.build.status, STATUS_FAILED);
	assert_string_equal(sample.build.error_class, "worker_lost");
}

TEST(a_report_of_a_lost_attempt_is_stale_though_no_other_was_assigned_since)
{
	lives_reach(&sample, LIFE_RUNNING);
	lives_happen(&sample, HAPPENED_LOSS);
	assert_int_equal(lives_happen(&sample, HAPPENED_FINISH), APPLIED_STALE);
	assert_int_equal(lives_happen(&sample, HAPPENED_ACCEPT), APPLIED_STALE);
}

TEST(a_late_commit_changes_no_status)
{
	lives_reach(&sample, LIFE_ENDED);
	lives_happen(&sample, HAPPENED_LATE_COMMIT);
	assert_int_equal(sample.build.status, STATUS_COMPLETED);
	assert_true(lives_last_says(&sample, "\"lost_attempt\":1"));
}

TEST(a_refused_request_is_a_failed_build_with_a_trail)
{
	lives_reach(&sample, LIFE_NEW);
	lives_happen(&sample, HAPPENED_REFUSAL);
	assert_string_equal(lives_event(&sample, 1), "build.pending");
	assert_string_equal(lives_event(&sample, 0), "build.failed");
	assert_string_equal(sample.build.error_class, "rejected");
	assert_true(lives_last_says(&sample, "\"error\":{\"class\":\"rejected\",\"message\":\"cannot be run\"}"));
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
		cmocka_unit_test(a_queued_build_is_cancelled_at_once_and_a_held_one_by_its_worker),
		cmocka_unit_test(a_build_with_a_cancel_wish_never_goes_back_to_pending),
		cmocka_unit_test(a_result_wins_over_a_cancel_wish),
		cmocka_unit_test(a_worker_that_hands_an_attempt_back_costs_no_try),
		cmocka_unit_test(an_attempt_that_its_worker_gives_up_for_lost_counts_as_lost),
		cmocka_unit_test(a_build_that_is_given_up_for_lost_too_often_fails),
		cmocka_unit_test(a_report_of_a_lost_attempt_is_stale_though_no_other_was_assigned_since),
		cmocka_unit_test(a_late_commit_changes_no_status),
		cmocka_unit_test(a_refused_request_is_a_failed_build_with_a_trail),
	};
	return cmocka_run_group_tests_name("transitions", tests, lives_set_up, lives_tear_down);
}
