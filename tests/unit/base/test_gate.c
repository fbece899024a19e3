#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>

#include "common/base/clock.h"
#include "common/base/gate.h"

TEST(it_is_closed_at_first_and_lets_callers_in_while_it_is_open)
{
	struct gate gate = {0};
	assert_false(gate_enter(&gate));
	gate_open(&gate);
	assert_true(gate_enter(&gate));
	assert_true(gate_enter(&gate));
	gate_leave(&gate);
	gate_leave(&gate);
	gate_close(&gate);
	gate_wait(&gate);
	assert_false(gate_enter(&gate));
}

struct room {
	struct gate gate;
	int *thing; /* NULL while the gate is closed */
	_Atomic bool done;
	_Atomic int uses;
};

static void *use(void *arg)
{
	struct room *room = arg;
	while (!atomic_load(&room->done)) {
		if (!gate_enter(&room->gate)) {
			(void)sched_yield(); /* it only gives others room */
			continue;
		}
		atomic_fetch_add(&room->uses, *room->thing);
		gate_leave(&room->gate);
	}
	return NULL;
}

static void wait_for_use(struct room *room, int before)
{
	int64_t end_ms = clock_boot_ms() + 60000;
	while (atomic_load(&room->uses) == before) {
		assert_true(clock_boot_ms() < end_ms);
		(void)sched_yield(); /* it only gives others room */
	}
}

TEST(what_is_behind_it_is_replaced_with_nobody_inside)
{
	struct room room = {0};
	int one[2] = {1, 1};
	pthread_t users[3];
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&users[i], NULL, use, &room), 0);
	for (int i = 0; i < 50; i++) {
		room.thing = &one[i % 2];
		gate_open(&room.gate);
		int before = atomic_load(&room.uses);
		wait_for_use(&room, before);
		gate_close(&room.gate);
		gate_wait(&room.gate);
		room.thing = NULL; /* who is inside would fall over it */
	}
	atomic_store(&room.done, true);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(users[i], NULL), 0);
	assert_true(atomic_load(&room.uses) >= 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_closed_at_first_and_lets_callers_in_while_it_is_open),
		cmocka_unit_test(what_is_behind_it_is_replaced_with_nobody_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
