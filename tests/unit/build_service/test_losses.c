/* What one transaction takes of what a worker loses at once. */
#include "tests/unit/build_service/lives.h"

#include <stdio.h>
#include <string.h>

#include "build-service/losses.h"
#include "common/base/alloc.h"

#define LARGE_BYTES ((size_t)8 * 1024 * 1024)
#define LEASE_MS 60000

/* A silent worker with attempts that it has accepted. */
struct expiring {
	struct build_set set;
	struct command_list commands;
	struct losses losses;
	struct lease_due due;
	struct worker worker;
	struct held_attempt *held;
};

static void begin(struct expiring *one, size_t attempts)
{
	*one = (struct expiring){.due = {.worker_id = LIVES_WORKER, .silent = true},
							 .worker = {.id = LIVES_WORKER, .state = WORKER_ACTIVE, .held_len = attempts}};
	build_set_init(&one->set);
	one->losses = (struct losses){.leases = leases_new(LEASE_MS),
								  .set = &one->set,
								  .commands = &one->commands,
								  .context = {.trail = &one->set.trail, .policy = &retry_policy_default}};
	lives_reach(&sample, LIFE_RUNNING);
	one->held = one->worker.held = xcalloc(attempts, sizeof(*one->held));
	for (size_t i = 0; i < attempts; i++) {
		build_token(&sample.build, &one->held[i].token);
		(void)snprintf(one->held[i].token.build_id, UUID_TEXT_SIZE, "01890000-0000-7000-8000-%012u",
					   (unsigned)i); /* fits */
		one->held[i].accepted = true;
	}
}

static void end(struct expiring *one)
{
	leases_free(one->losses.leases);
	command_list_release(&one->commands);
	build_set_release(&one->set);
	free(one->held);
}

/* A transaction, up to where it would store. Returns how many builds were lost. */
static size_t lose(struct expiring *one, const char *metadata, bool *ret_more)
{
	build_set_begin(&one->set);
	command_list_clear(&one->commands);
	losses_want(&one->losses, &one->due, &one->worker);
	build_set_assume_new(&one->set);
	for (size_t i = 0; i < one->set.ids_len; i++) {
		struct build *build = &one->set.builds[i];
		*build = sample.build;
		memcpy(build->id, one->set.ids[i], UUID_TEXT_SIZE);
		if (metadata != NULL)
			build->metadata = metadata;
	}
	size_t lost = losses_apply(&one->losses, &one->due, &one->worker, ret_more);
	assert_int_equal(one->commands.len, lost);
	one->worker.held += lost;
	one->worker.held_len -= lost;
	return lost;
}

static void assert_mass(const struct expiring *one, size_t lost)
{
	for (size_t i = 0; i < lost; i++)
		assert_true(one->set.builds[i].mass_losses == 1 && one->set.builds[i].losses == 0);
}

TEST(losses_whose_events_do_not_fit_one_transaction_are_left_to_the_next)
{
	struct expiring one;
	char *metadata = xmalloc(LARGE_BYTES + 1);
	memset(metadata, ' ', LARGE_BYTES);
	memcpy(metadata, "{}", 2);
	metadata[LARGE_BYTES] = '\0';
	size_t attempts = TRAIL_MAX_BYTES / LARGE_BYTES + 1, lost = 0;
	begin(&one, attempts);
	bool more = true;
	for (size_t left = attempts; more; left = one.worker.held_len) {
		size_t now = lose(&one, metadata, &more);
		assert_true(trail_is_whole(&one.set.trail));
		assert_true(now > 0 && more == (now < left));
		assert_mass(&one, now);
		one.due.rest = true;
		lost += now;
	}
	assert_int_equal(lost, attempts);
	assert_int_equal(one.worker.state, WORKER_LOST);
	end(&one);
	free(metadata);
}

TEST(the_builds_of_one_transaction_have_a_limit_and_the_last_one_is_not_lost_alone)
{
	struct expiring one;
	bool more;
	begin(&one, LOSSES_AT_ONCE + 1);
	assert_int_equal(lose(&one, NULL, &more), LOSSES_AT_ONCE);
	assert_true(more);
	assert_int_equal(one.set.ids_len, LOSSES_AT_ONCE);
	one.due.rest = true;
	assert_int_equal(lose(&one, NULL, &more), 1);
	assert_false(more);
	assert_mass(&one, 1);
	end(&one);
}

TEST(what_cannot_be_lost_is_not_tried_again_and_again)
{
	struct expiring one;
	bool more;
	begin(&one, LOSSES_AT_ONCE + 1);
	sample.build.attempt.state = ATTEMPT_FINISHED;
	assert_int_equal(lose(&one, NULL, &more), 0);
	assert_false(more);
	end(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_whose_events_do_not_fit_one_transaction_are_left_to_the_next),
		cmocka_unit_test(the_builds_of_one_transaction_have_a_limit_and_the_last_one_is_not_lost_alone),
		cmocka_unit_test(what_cannot_be_lost_is_not_tried_again_and_again),
	};
	return cmocka_run_group_tests_name("losses", tests, lives_set_up, lives_tear_down);
}
