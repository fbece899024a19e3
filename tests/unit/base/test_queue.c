#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/queue.h"

static int values[10000];

TEST(values_come_out_in_order)
{
	struct queue *queue = queue_new(3);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			assert_true(queue_try_push(queue, &values[i]));
		for (int i = 0; i < 3; i++)
			assert_ptr_equal(queue_pop(queue, 0), &values[i]);
	}
	queue_free(queue);
}

TEST(a_full_queue_refuses)
{
	struct queue *queue = queue_new(2);
	assert_true(queue_try_push(queue, &values[0]));
	assert_true(queue_try_push(queue, &values[1]));
	assert_false(queue_try_push(queue, &values[2]));
	assert_ptr_equal(queue_pop(queue, 0), &values[0]);
	assert_ptr_equal(queue_pop(queue, 0), &values[1]);
	assert_null(queue_pop(queue, 0));
	queue_free(queue);
}

TEST(of_many_as_many_go_in_as_there_is_room_for)
{
	struct queue *queue = queue_new(3);
	void *many[] = {&values[1], &values[2], &values[3], &values[4]}, *popped_ones[8];
	assert_true(queue_try_push(queue, &values[0]));
	assert_int_equal(queue_try_push_many(queue, many, ARRAY_LEN(many)), 2);
	assert_int_equal(queue_try_push_many(queue, many, 1), 0);
	assert_int_equal(queue_pop_many(queue, 0, popped_ones, 2), 2);
	assert_ptr_equal(popped_ones[0], &values[0]);
	assert_ptr_equal(popped_ones[1], &values[1]);
	assert_int_equal(queue_pop_many(queue, 0, popped_ones, ARRAY_LEN(popped_ones)), 1);
	assert_ptr_equal(popped_ones[0], &values[2]);
	assert_int_equal(queue_pop_many(queue, 0, popped_ones, ARRAY_LEN(popped_ones)), 0);
	queue_close(queue);
	assert_int_equal(queue_try_push_many(queue, many, 1), 0);
	queue_free(queue);
}

TEST(pop_without_waiting_is_null_when_empty)
{
	struct queue *queue = queue_new(2);
	assert_null(queue_pop(queue, 0));
	queue_free(queue);
}

TEST(pop_waits_for_its_timeout_and_not_longer)
{
	struct queue *queue = queue_new(2);
	int64_t before = clock_boot_ms();
	assert_null(queue_pop(queue, 30));
	assert_in_range(clock_boot_ms() - before, 29, 10000);
	queue_free(queue);
}

TEST(a_closed_queue_refuses_but_drains)
{
	struct queue *queue = queue_new(2);
	assert_true(queue_try_push(queue, &values[0]));
	assert_false(queue_closed(queue));
	queue_close(queue);
	assert_true(queue_closed(queue));
	assert_false(queue_try_push(queue, &values[1]));
	assert_ptr_equal(queue_pop(queue, 60000), &values[0]);
	assert_null(queue_pop(queue, 60000)); /* at once: the test's own time-out is shorter */
	queue_free(queue);
}

static void *pop_one(void *queue)
{
	return queue_pop(queue, 60000);
}

TEST(close_wakes_a_waiting_popper)
{
	struct queue *queue = queue_new(2);
	pthread_t thread;
	void *result = &values[0];
	assert_int_equal(pthread_create(&thread, NULL, pop_one, queue), 0);
	queue_close(queue);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	queue_free(queue);
}

static atomic_size_t popped;

static void *pop_all(void *arg)
{
	for (int *value = queue_pop(arg, 60000); value != NULL; value = queue_pop(arg, 60000)) {
		(*value)++;
		popped++;
	}
	return NULL;
}

TEST(every_value_reaches_exactly_one_of_several_threads)
{
	struct queue *queue = queue_new(16);
	pthread_t threads[3];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pop_all, queue), 0);
	for (size_t i = 0; i < ARRAY_LEN(values);) {
		if (queue_try_push(queue, &values[i]))
			i++;
		else
			(void)sched_yield();
	}
	queue_close(queue);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(popped, ARRAY_LEN(values));
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_int_equal(values[i], 1);
	queue_free(queue);
}

static void push_null(void *queue)
{
	(void)!queue_try_push(queue, NULL);
}

TEST(pushing_null_aborts)
{
	struct queue *queue = queue_new(2);
	unit_assert_aborts(push_null, queue);
	queue_free(queue);
}

TEST(free_takes_null)
{
	queue_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_out_in_order),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(of_many_as_many_go_in_as_there_is_room_for),
		cmocka_unit_test(pop_without_waiting_is_null_when_empty),
		cmocka_unit_test(pop_waits_for_its_timeout_and_not_longer),
		cmocka_unit_test(a_closed_queue_refuses_but_drains),
		cmocka_unit_test(close_wakes_a_waiting_popper),
		cmocka_unit_test(every_value_reaches_exactly_one_of_several_threads),
		cmocka_unit_test(pushing_null_aborts),
		cmocka_unit_test(free_takes_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
