#include "tests/unit/unit.h"

#include <pthread.h>

#include "api-gateway/requests/stage.h"

TEST(who_begins_and_takes_effect_is_not_given_up)
{
	_Atomic enum stage stage = STAGE_WAITING;
	assert_true(stage_begin(&stage));
	assert_true(stage_take_effect(&stage));
	assert_int_equal(stage_give_up(&stage), STAGE_EFFECT);
	assert_true(stage_take_effect(&stage)); /* the next commit of the same request */
}

TEST(who_was_given_up_does_not_begin)
{
	_Atomic enum stage stage = STAGE_WAITING;
	assert_int_equal(stage_give_up(&stage), STAGE_WAITING);
	assert_false(stage_begin(&stage));
	assert_false(stage_take_effect(&stage));
}

TEST(who_was_given_up_on_the_way_takes_no_effect)
{
	_Atomic enum stage stage = STAGE_WAITING;
	assert_true(stage_begin(&stage));
	assert_int_equal(stage_give_up(&stage), STAGE_BEGUN);
	assert_false(stage_take_effect(&stage));
}

#define ROUNDS 20000

struct race {
	_Atomic enum stage stage[ROUNDS];
	char told[ROUNDS];           /* plain memory: written before the effect, read by who finds it */
	bool has_effect[ROUNDS];     /* the worker's word */
	enum stage given_up[ROUNDS]; /* the deadline's */
	_Atomic int at;              /* the round that the worker is in */
};

static void *work(void *arg)
{
	struct race *race = arg;
	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&race->at, i);
		bool begun = stage_begin(&race->stage[i]);
		race->told[i] = 'x';
		race->has_effect[i] = begun && stage_take_effect(&race->stage[i]);
	}
	return NULL;
}

TEST(the_two_threads_never_disagree)
{
	static struct race race;
	pthread_t worker;
	assert_int_equal(pthread_create(&worker, NULL, work, &race), 0);
	for (int i = 0; i < ROUNDS; i++) {
		while (i % 2 == 0 && atomic_load(&race.at) < i)
			sched_yield(); /* every other time as late as the worker, or later */
		race.given_up[i] = stage_give_up(&race.stage[i]);
		if (race.given_up[i] == STAGE_EFFECT)
			assert_int_equal(race.told[i], 'x');
	}
	assert_int_equal(pthread_join(worker, NULL), 0);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(race.has_effect[i], race.given_up[i] == STAGE_EFFECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_begins_and_takes_effect_is_not_given_up),
		cmocka_unit_test(who_was_given_up_does_not_begin),
		cmocka_unit_test(who_was_given_up_on_the_way_takes_no_effect),
		cmocka_unit_test(the_two_threads_never_disagree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
