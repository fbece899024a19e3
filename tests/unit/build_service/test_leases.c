#include "tests/unit/unit.h"

#include "build-service/leases.h"
#include "common/base/clock.h"

#define LEASE_MS 200
#define PATIENCE_MS 60000
#define TRIES 100
static const char worker[] = "01890000-0000-7000-8000-00000000000a";
static const struct fencing_token token = {.build_id = "01890000-0000-7000-8000-000000000001",
										   .attempt = 1,
										   .lease_id = "01890000-0000-7000-8000-0000000000aa"};

/* Heartbeats that lack the attempt, until it is due. */
static bool becomes_due(struct leases *leases, struct lease_due *due)
{
	for (int64_t end_ms = clock_boot_ms() + PATIENCE_MS; clock_boot_ms() < end_ms;) {
		leases_heard(leases, worker, 0);
		(void)leases_listed(leases, worker, &token, false);
		if (leases_due(leases, 0, due, 1) == 1 && !due->silent && due->tokens_len == 1)
			return true;
	}
	return false;
}

TEST(an_attempt_that_heartbeats_lack_is_due_when_its_lease_is_over)
{
	struct leases *leases = leases_new(LEASE_MS);
	struct lease_due due;
	assert_true(becomes_due(leases, &due));
	leases_free(leases);
}

TEST(the_lease_begins_anew_with_the_accept_once)
{
	/* Again when the machine stood still between the two looks for as long as a lease lasts. */
	for (int i = 0; i < TRIES; i++) {
		struct leases *leases = leases_new(LEASE_MS);
		struct lease_due due;
		assert_true(becomes_due(leases, &due));
		int64_t before_ms = clock_boot_ms();
		assert_true(leases_accepted(leases, worker, &token));
		bool still = leases_still_due(leases, &due);
		bool in_time = clock_boot_ms() - before_ms < LEASE_MS;
		bool again = leases_accepted(leases, worker, &token);
		bool later = becomes_due(leases, &due);
		leases_free(leases);
		assert_false(again);
		assert_true(later);
		if (in_time) {
			assert_false(still);
			return;
		}
	}
	fail_msg("the machine never gave two looks within a lease");
}

TEST(an_attempt_that_is_not_minded_here_is_no_news)
{
	struct leases *leases = leases_new(LEASE_MS);
	assert_false(leases_accepted(leases, worker, &token));
	leases_heard(leases, worker, 0);
	assert_false(leases_accepted(leases, worker, &token));
	leases_free(leases);
}

/* Without a word from it. */
static bool becomes_silent(struct leases *leases, struct lease_due *due)
{
	for (int64_t end_ms = clock_boot_ms() + PATIENCE_MS; clock_boot_ms() < end_ms;) {
		if (leases_due(leases, 0, due, 1) == 1 && due->silent)
			return true;
	}
	return false;
}

TEST(a_worker_that_became_silent_later_is_not_still_due)
{
	struct leases *leases = leases_new(LEASE_MS);
	struct lease_due lacking, silent;
	assert_true(becomes_due(leases, &lacking));
	assert_true(becomes_silent(leases, &silent));
	assert_false(leases_still_due(leases, &lacking));
	assert_true(leases_still_due(leases, &silent));
	leases_free(leases);
}

enum { ATTEMPTS = 9 }; /* more than one round takes */

/* All lack at once, until as many as a round takes are due. */
static bool a_round_is_full(struct leases *leases, struct lease_due *due)
{
	struct fencing_token one = token;
	for (int64_t end_ms = clock_boot_ms() + PATIENCE_MS; clock_boot_ms() < end_ms;) {
		leases_heard(leases, worker, 0);
		for (size_t i = 0; i < ATTEMPTS; i++) {
			one.lease_id[UUID_TEXT_SIZE - 2] = (char)('0' + i);
			(void)leases_listed(leases, worker, &one, false);
		}
		if (leases_due(leases, 0, due, 1) == 1 && !due->silent && due->tokens_len == ARRAY_LEN(due->tokens) && due->cut)
			return true;
	}
	return false;
}

TEST(what_is_left_for_the_next_round_is_known_to_be_of_the_last)
{
	/* Again when the machine stood still for as long as a lease lasts. */
	for (int i = 0; i < TRIES; i++) {
		struct leases *leases = leases_new(LEASE_MS);
		struct lease_due due = {.silent = true}, rest = due, none;
		assert_true(a_round_is_full(leases, &due));
		assert_false(due.rest);
		int64_t began_ms = clock_boot_ms();
		leases_forget_due(leases, &due);
		size_t left = leases_due(leases, 0, &rest, 1);
		leases_forget_due(leases, &rest);
		size_t more = leases_due(leases, 0, &none, 1);
		bool stood_still = clock_boot_ms() - began_ms >= LEASE_MS / 2 || rest.silent;
		leases_free(leases);
		if (!stood_still) {
			assert_int_equal(left, 1);
			assert_true(rest.tokens_len == 1 && rest.rest && !rest.cut);
			assert_int_equal(more, 0);
			return;
		}
	}
	fail_msg("the machine never gave two looks within a lease");
}

TEST(only_attempts_that_were_due_are_still_due)
{
	/* Again when the machine stood still between two looks for as long as a lease lasts: then the worker is silent. */
	for (int i = 0; i < TRIES; i++) {
		struct leases *leases = leases_new(LEASE_MS);
		struct lease_due all, none, same;
		assert_true(becomes_due(leases, &all));
		same = none = all;
		none.tokens[0].attempt++;
		bool still = leases_still_due(leases, &same), other = leases_still_due(leases, &none);
		(void)leases_due(leases, 0, &all, 1);
		leases_free(leases);
		if (!all.silent) {
			assert_true(still);
			assert_int_equal(same.tokens_len, 1);
			assert_false(other);
			return;
		}
	}
	fail_msg("the machine never gave two looks within a lease");
}

TEST(a_silent_worker_that_was_expired_in_part_is_still_due_and_the_rest_is_known_to_be_one)
{
	struct leases *leases = leases_new(PATIENCE_MS);
	struct lease_due due, rest, none;
	leases_run_out(leases, worker, 0);
	assert_int_equal(leases_due(leases, 0, &due, 1), 1);
	assert_true(due.silent && !due.rest);
	leases_expired_in_part(leases, &due);
	assert_int_equal(leases_due(leases, 0, &rest, 1), 1);
	assert_true(rest.silent && rest.rest);
	leases_forget_due(leases, &rest);
	assert_int_equal(leases_due(leases, 0, &none, 1), 0);
	leases_free(leases);
}

/* A worker that lives, whose new start does not list the attempt. */
static struct leases *after_a_restart(void)
{
	struct leases *leases = leases_new(PATIENCE_MS);
	leases_heard(leases, worker, 0);
	(void)leases_listed(leases, worker, &token, false);
	leases_end(leases, worker, &token);
	return leases;
}

TEST(what_a_new_start_does_not_list_is_due_at_once_until_it_was_expired)
{
	struct leases *leases = after_a_restart();
	struct lease_due due;
	assert_int_equal(leases_due(leases, 0, &due, 1), 1);
	assert_false(due.silent || lease_due_has(&due, &token));
	assert_true(leases_due_is_over(leases, &due, &token));
	leases_heard(leases, worker, 0);
	(void)leases_listed(leases, worker, &token, false); /* it is held by the database still */
	assert_true(leases_still_due(leases, &due));
	assert_true(leases_due_is_over(leases, &due, &token));
	leases_forget_due(leases, &due);
	assert_int_equal(leases_due(leases, 0, &due, 1), 0);
	assert_true(leases_minds(leases, worker));
	leases_free(leases);
}

TEST(what_a_later_start_does_not_list_waits_for_a_round_of_its_own)
{
	struct leases *leases = after_a_restart();
	struct fencing_token other = token;
	other.attempt++;
	other.lease_id[0] = 'f';
	struct lease_due due, later;
	assert_int_equal(leases_due(leases, 0, &due, 1), 1);
	leases_heard(leases, worker, 0);
	(void)leases_listed(leases, worker, &token, false);
	(void)leases_listed(leases, worker, &other, false);
	leases_end(leases, worker, &other);
	assert_true(leases_still_due(leases, &due));
	assert_true(leases_due_is_over(leases, &due, &token));
	assert_false(leases_due_is_over(leases, &due, &other));
	leases_forget_due(leases, &due);
	assert_int_equal(leases_due(leases, 0, &later, 1), 1);
	assert_true(leases_due_is_over(leases, &later, &other));
	assert_false(leases_still_due(leases, &due));
	leases_free(leases);
}

/* A heartbeat that lists the attempt as reported. */
static void tells(struct leases *leases, bool told)
{
	leases_heard(leases, worker, 0);
	(void)leases_listed(leases, worker, &token, true);
	leases_told(leases, worker, &token, told);
}

/* Told so, heartbeat after heartbeat, until it is due. */
static bool is_told_of(struct leases *leases, struct lease_due *due)
{
	for (int64_t end_ms = clock_boot_ms() + PATIENCE_MS; clock_boot_ms() < end_ms;) {
		tells(leases, true);
		if (leases_due(leases, 0, due, 1) == 1 && !due->silent && leases_due_is_told(leases, due, &token))
			return true;
	}
	return false;
}

TEST(whose_result_kafka_has_for_a_lease_is_due_unless_that_is_taken_back)
{
	struct leases *leases = leases_new(LEASE_MS);
	struct lease_due due;
	int64_t began_ms = clock_boot_ms();
	assert_true(is_told_of(leases, &due));
	assert_true(clock_boot_ms() - began_ms >= LEASE_MS);
	assert_false(lease_due_has(&due, &token));
	tells(leases, true);
	assert_true(leases_still_due(leases, &due));
	assert_true(leases_due_is_told(leases, &due, &token));
	tells(leases, false);
	assert_false(leases_still_due(leases, &due));
	assert_false(leases_due_is_told(leases, &due, &token));
	tells(leases, true); /* and from then on it takes a lease again */
	assert_false(leases_still_due(leases, &due));
	assert_true(is_told_of(leases, &due));
	leases_forget_due(leases, &due);
	tells(leases, true);
	assert_false(leases_still_due(leases, &due));
	leases_free(leases);
}

TEST(there_is_no_number_of_workers_that_ends_the_service)
{
	struct leases *leases = leases_new(PATIENCE_MS);
	char id[UUID_TEXT_SIZE];
	for (int i = 0; i < 100001; i++) {
		(void)snprintf(id, sizeof(id), "01890000-0000-7000-8000-%012d", i);
		leases_watch(leases, id, 0);
	}
	assert_true(leases_minds(leases, id));
	leases_free(leases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_attempt_that_heartbeats_lack_is_due_when_its_lease_is_over),
		cmocka_unit_test(what_is_left_for_the_next_round_is_known_to_be_of_the_last),
		cmocka_unit_test(the_lease_begins_anew_with_the_accept_once),
		cmocka_unit_test(an_attempt_that_is_not_minded_here_is_no_news),
		cmocka_unit_test(a_worker_that_became_silent_later_is_not_still_due),
		cmocka_unit_test(only_attempts_that_were_due_are_still_due),
		cmocka_unit_test(what_a_new_start_does_not_list_is_due_at_once_until_it_was_expired),
		cmocka_unit_test(a_silent_worker_that_was_expired_in_part_is_still_due_and_the_rest_is_known_to_be_one),
		cmocka_unit_test(whose_result_kafka_has_for_a_lease_is_due_unless_that_is_taken_back),
		cmocka_unit_test(there_is_no_number_of_workers_that_ends_the_service),
		cmocka_unit_test(what_a_later_start_does_not_list_waits_for_a_round_of_its_own),
	};
	return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
