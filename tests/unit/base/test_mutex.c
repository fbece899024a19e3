#include "tests/unit/unit.h"

#include "common/base/mutex.h"

#define ROUNDS 20000

struct place {
	pthread_mutex_t mutex;
	int count; /* not atomic */
};

static void *count(void *arg)
{
	struct place *place = arg;
	for (int i = 0; i < ROUNDS; i++) {
		mutex_lock(&place->mutex);
		place->count++;
		mutex_unlock(&place->mutex);
	}
	return NULL;
}

TEST(one_at_a_time_holds_it)
{
	struct place place = {.count = 0};
	mutex_init(&place.mutex);
	pthread_t other;
	assert_int_equal(pthread_create(&other, NULL, count, &place), 0);
	count(&place);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(place.count, 2 * ROUNDS);
	assert_int_equal(pthread_mutex_destroy(&place.mutex), 0);
}

/* One whose misuse is told, which the default kind's is not. */
static void init_checking(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	assert_int_equal(pthread_mutexattr_init(&attributes), 0);
	assert_int_equal(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK), 0);
	assert_int_equal(pthread_mutex_init(mutex, &attributes), 0);
	assert_int_equal(pthread_mutexattr_destroy(&attributes), 0);
}

static void lock_twice(void *arg)
{
	mutex_lock(arg);
	mutex_lock(arg);
}

static void unlock(void *arg)
{
	mutex_unlock(arg);
}

TEST(a_call_that_fails_ends_the_process)
{
	pthread_mutex_t mutex;
	init_checking(&mutex);
	unit_assert_aborts(lock_twice, &mutex);
	unit_assert_aborts(unlock, &mutex);
	assert_int_equal(pthread_mutex_destroy(&mutex), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time_holds_it),
		cmocka_unit_test(a_call_that_fails_ends_the_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
