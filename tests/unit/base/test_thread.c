#include "tests/unit/unit.h"

#include <sched.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/cond.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

struct place {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool said;
};

static void *say(void *arg)
{
	struct place *place = arg;
	CHECK(pthread_mutex_lock(&place->lock) == 0);
	place->said = true;
	CHECK(pthread_cond_signal(&place->changed) == 0);
	CHECK(pthread_mutex_unlock(&place->lock) == 0);
	return NULL;
}

static void place_init(struct place *place)
{
	*place = (struct place){.said = false};
	assert_int_equal(pthread_mutex_init(&place->lock, NULL), 0);
	cond_init(&place->changed);
}

static void place_release(struct place *place)
{
	assert_int_equal(pthread_cond_destroy(&place->changed), 0);
	assert_int_equal(pthread_mutex_destroy(&place->lock), 0);
}

TEST(a_wait_ends_when_a_thread_signals)
{
	struct place place;
	place_init(&place);
	struct error err = ERROR_INIT;
	pthread_t thread;
	struct timespec until = cond_deadline(60000);
	assert_int_equal(pthread_mutex_lock(&place.lock), 0);
	assert_int_equal(thread_start(&thread, "says", 0, say, &place, &err), 0);
	while (!place.said)
		assert_true(cond_wait_until(&place.changed, &place.lock, &until));
	assert_int_equal(pthread_mutex_unlock(&place.lock), 0);
	thread_join(thread);
	place_release(&place);
}

static void *wait_told(void *arg)
{
	struct place *place = arg;
	mutex_lock(&place->lock);
	while (!place->said)
		CHECK(pthread_cond_wait(&place->changed, &place->lock) == 0);
	mutex_unlock(&place->lock);
	return NULL;
}

TEST(a_thread_is_waited_for_until_a_deadline)
{
	struct place place;
	place_init(&place);
	struct error err = ERROR_INIT;
	pthread_t thread;
	assert_int_equal(thread_start(&thread, "waits", 0, wait_told, &place, &err), 0);
	int64_t began_ms = clock_boot_ms();
	assert_false(thread_join_until(thread, began_ms + 20));
	assert_true(clock_boot_ms() >= began_ms + 20);
	(void)say(&place);
	assert_true(thread_join_until(thread, clock_boot_ms() + 60000));
	place_release(&place);
}

TEST(a_wait_ends_at_its_deadline_and_not_before)
{
	struct place place;
	place_init(&place);
	int64_t began_us = clock_boot_us();
	struct timespec until = cond_deadline(1050); /* more than a second: carries over */
	assert_int_equal(pthread_mutex_lock(&place.lock), 0);
	while (cond_wait_until(&place.changed, &place.lock, &until))
		;
	assert_int_equal(pthread_mutex_unlock(&place.lock), 0);
	assert_true(clock_boot_us() - began_us >= 1050000);
	place_release(&place);
}

static void *stay(void *arg)
{
	while (!atomic_load((_Atomic bool *)arg))
		(void)sched_yield(); /* it only gives others room */
	return NULL;
}

TEST(a_thread_has_the_name_and_the_stack_that_it_was_given)
{
	_Atomic bool done = false;
	struct error err = ERROR_INIT;
	pthread_t thread;
	assert_int_equal(thread_start(&thread, "fifteen-letters", 512UL * 1024, stay, &done, &err), 0);
	char name[THREAD_NAME_MAX + 1];
	pthread_attr_t attributes;
	size_t stack_bytes;
	assert_int_equal(pthread_getname_np(thread, name, sizeof(name)), 0);
	assert_int_equal(pthread_getattr_np(thread, &attributes), 0);
	assert_int_equal(pthread_attr_getstacksize(&attributes, &stack_bytes), 0);
	assert_int_equal(pthread_attr_destroy(&attributes), 0);
	atomic_store(&done, true);
	thread_join(thread);
	assert_string_equal(name, "fifteen-letters");
	assert_true(stack_bytes >= 512UL * 1024 && stack_bytes < 1024UL * 1024); /* a sanitizer adds some */
}

TEST(a_thread_that_cannot_be_is_an_error_with_its_name)
{
	struct error err = ERROR_INIT;
	pthread_t thread;
	assert_int_equal(thread_start(&thread, "vast", (size_t)1 << 46, say, NULL, &err), -1);
	assert_non_null(strstr(err.message, "vast"));
}

static void *tell_policy(void *arg)
{
	*(int *)arg = sched_getscheduler(0);
	return NULL;
}

static int policy_of_a_new_thread(void)
{
	struct error err = ERROR_INIT;
	pthread_t thread;
	int policy;
	assert_int_equal(thread_start(&thread, "tells", 0, tell_policy, &policy, &err), 0);
	thread_join(thread);
	return policy;
}

TEST(what_a_thread_may_is_what_those_may_that_it_starts)
{
	bool might = thread_may_preempt(false);
	int policy = policy_of_a_new_thread();
	assert_false(thread_may_preempt(might));
	assert_true(might);
	assert_int_equal(policy, SCHED_BATCH);
	assert_int_equal(policy_of_a_new_thread(), SCHED_OTHER);
}

static void *try_idle(void *arg)
{
	const struct sched_param none = {.sched_priority = 0};
	int *policies = arg;
	CHECK(sched_setscheduler(0, SCHED_IDLE, &none) == 0);
	policies[0] = thread_may_preempt(false) ? sched_getscheduler(0) : -1;
	policies[1] = thread_may_preempt(true) ? sched_getscheduler(0) : -1;
	return NULL;
}

TEST(a_policy_of_the_operators_stays)
{
	struct error err = ERROR_INIT;
	pthread_t thread;
	int policies[2];
	assert_int_equal(thread_start(&thread, "idle", 0, try_idle, policies, &err), 0);
	thread_join(thread);
	assert_int_equal(policies[0], SCHED_IDLE);
	assert_int_equal(policies[1], SCHED_IDLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_ends_when_a_thread_signals),
		cmocka_unit_test(a_thread_is_waited_for_until_a_deadline),
		cmocka_unit_test(a_wait_ends_at_its_deadline_and_not_before),
		cmocka_unit_test(a_thread_has_the_name_and_the_stack_that_it_was_given),
		cmocka_unit_test(a_thread_that_cannot_be_is_an_error_with_its_name),
		cmocka_unit_test(what_a_thread_may_is_what_those_may_that_it_starts),
		cmocka_unit_test(a_policy_of_the_operators_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
