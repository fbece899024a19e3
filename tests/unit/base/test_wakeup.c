#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>

#include "common/base/clock.h"
#include "common/base/wakeup.h"

TEST(without_a_signal_it_waits_for_the_timeout)
{
	struct wakeup wakeup;
	wakeup_init(&wakeup);
	int64_t before = clock_boot_ms();
	assert_false(wakeup_wait(&wakeup, 20));
	assert_in_range(clock_boot_ms() - before, 19, 10000);
	wakeup_release(&wakeup);
}

TEST(many_signals_make_one_wake_up)
{
	struct wakeup wakeup;
	wakeup_init(&wakeup);
	for (int i = 0; i < 5; i++)
		wakeup_signal(&wakeup);
	assert_true(wakeup_wait(&wakeup, 0));
	assert_false(wakeup_wait(&wakeup, 0));
	wakeup_release(&wakeup);
}

TEST(the_descriptor_is_readable_when_signalled)
{
	struct wakeup wakeup;
	wakeup_init(&wakeup);
	struct pollfd ready = {.fd = wakeup.fd, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 0), 0);
	wakeup_signal(&wakeup);
	assert_int_equal(poll(&ready, 1, 0), 1);
	wakeup_release(&wakeup);
}

TEST(clear_forgets_a_signal)
{
	struct wakeup wakeup;
	wakeup_init(&wakeup);
	wakeup_signal(&wakeup);
	wakeup_clear(&wakeup);
	wakeup_clear(&wakeup);
	assert_false(wakeup_wait(&wakeup, 0));
	wakeup_release(&wakeup);
	wakeup_release(&wakeup);
}

static void *signal_it(void *wakeup)
{
	wakeup_signal(wakeup);
	return NULL;
}

TEST(another_thread_ends_the_wait)
{
	struct wakeup wakeup;
	wakeup_init(&wakeup);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, signal_it, &wakeup), 0);
	assert_true(wakeup_wait(&wakeup, 50000));
	assert_int_equal(pthread_join(thread, NULL), 0);
	wakeup_release(&wakeup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_signal_it_waits_for_the_timeout),
		cmocka_unit_test(many_signals_make_one_wake_up),
		cmocka_unit_test(the_descriptor_is_readable_when_signalled),
		cmocka_unit_test(clear_forgets_a_signal),
		cmocka_unit_test(another_thread_ends_the_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
