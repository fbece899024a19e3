#include "cmocka_prelude.h"

#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/kafka/consumer.h"

#define WAIT_MS 100
#define TOO_LONG_S 60

static _Atomic time_t wall_is_off_s;

/* The wall clock that this process sees; the kernel's is another one then, as after it was set. */
int timespec_get(struct timespec *ret_now, int base)
{
	int code = clock_gettime(CLOCK_REALTIME, ret_now);
	assert_int_equal(code, 0);
	ret_now->tv_sec += wall_is_off_s;
	return base;
}

static void a_clock_that_is_set_back_makes_no_wait_longer(void **state)
{
	(void)state;
	wall_is_off_s = 3600; /* the kernel's is behind */
	mtx_t mutex;
	cnd_t never;
	struct timespec until;
	assert_int_equal(mtx_init(&mutex, mtx_plain), thrd_success);
	assert_int_equal(cnd_init(&never), thrd_success);
	assert_int_equal(mtx_lock(&mutex), thrd_success);
	assert_int_equal(timespec_get(&until, TIME_UTC), TIME_UTC);
	until.tv_sec++;
	(void)alarm(TOO_LONG_S); /* ends the test */
	assert_int_equal(cnd_timedwait(&never, &mutex, &until), thrd_timedout);
	(void)alarm(0);
	wall_is_off_s = 0;
	(void)mtx_unlock(&mutex);
	mtx_destroy(&mutex);
	cnd_destroy(&never);
}

static void a_clock_that_is_set_forward_makes_no_wait_of_librdkafka_shorter(void **state)
{
	(void)state;
	static const struct kafka_settings settings = {.brokers = "127.0.0.1:1", .client_id = "test"};
	struct kafka_consumer *consumer;
	struct error err = ERROR_INIT;
	assert_int_equal(kafka_tail_new(&settings, NULL, 0, &consumer, &err), 0);
	wall_is_off_s = -3600;
	int64_t began_ms = clock_boot_ms();
	assert_null(kafka_consumer_poll(consumer, WAIT_MS, &err));
	assert_true(clock_boot_ms() - began_ms >= WAIT_MS / 2); /* it asks in milliseconds, rounded */
	wall_is_off_s = 0;
	kafka_consumer_free(consumer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clock_that_is_set_back_makes_no_wait_longer),
		cmocka_unit_test(a_clock_that_is_set_forward_makes_no_wait_of_librdkafka_shorter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
