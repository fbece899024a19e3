#include "common/http/steady_timeouts.h"
#include "tests/unit/unit.h"

#include <h2o.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define HOUR_S 3600
#define SHORT_MS 50
#define LONG_MS 600000
#define TOO_LONG_S 60

struct timer {
	h2o_timeout_t timeout;
	h2o_timeout_entry_t entry;
	bool passed;
};

static time_t wall_is_off_s;
static h2o_loop_t *loop;

/* The wall clock that h2o sees. */
int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	int code = clock_gettime(CLOCK_REALTIME, &now);
	*ret_now = (struct timeval){.tv_sec = now.tv_sec + wall_is_off_s, .tv_usec = now.tv_nsec / 1000};
	return code;
}

static void on_passed(h2o_timeout_entry_t *entry)
{
	H2O_STRUCT_FROM_MEMBER(struct timer, entry, entry)->passed = true;
}

static void timer_start(struct timer *timer, uint64_t ms)
{
	*timer = (struct timer){.entry.cb = on_passed};
	h2o_timeout_init(loop, &timer->timeout, ms);
	h2o_timeout_link(loop, &timer->timeout, &timer->entry);
}

static void timer_stop(struct timer *timer)
{
	h2o_timeout_unlink(&timer->entry);
	h2o_timeout_dispose(loop, &timer->timeout);
}

static void run_until_passed(const struct timer *timer)
{
	(void)alarm(TOO_LONG_S); /* ends the test */
	while (!timer->passed)
		assert_int_equal(h2o_evloop_run(loop, INT32_MAX), 0);
	(void)alarm(0);
}

static int set_up(void **state)
{
	(void)state;
	loop = h2o_evloop_create();
	return 0;
}

static int set_clock_right(void **state)
{
	(void)state;
	wall_is_off_s = 0;
	return 0;
}

TEST(h2o_is_given_our_timeouts)
{
	assert_true(steady_timeouts_in_place());
}

TEST(a_wall_clock_that_is_set_back_makes_no_timeout_longer)
{
	struct timer timer;
	int64_t began_ms = clock_boot_ms();
	timer_start(&timer, SHORT_MS);
	assert_int_equal(h2o_evloop_run(loop, 0), 0);
	wall_is_off_s = -HOUR_S;
	run_until_passed(&timer);
	assert_true(clock_boot_ms() - began_ms >= SHORT_MS);
	timer_stop(&timer);
}

TEST(a_wall_clock_that_is_set_ahead_makes_no_timeout_shorter)
{
	struct timer late, soon;
	timer_start(&late, LONG_MS);
	assert_int_equal(h2o_evloop_run(loop, 0), 0);
	wall_is_off_s = HOUR_S;
	timer_start(&soon, SHORT_MS);
	run_until_passed(&soon);
	assert_false(late.passed);
	timer_stop(&soon);
	timer_stop(&late);
}

TEST(what_is_unlinked_does_not_pass)
{
	struct timer taken_back, soon;
	timer_start(&taken_back, 0);
	timer_start(&soon, 1);
	h2o_timeout_unlink(&taken_back.entry);
	run_until_passed(&soon);
	assert_false(taken_back.passed);
	timer_stop(&taken_back);
	timer_stop(&soon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(h2o_is_given_our_timeouts),
		cmocka_unit_test_teardown(a_wall_clock_that_is_set_back_makes_no_timeout_longer, set_clock_right),
		cmocka_unit_test_teardown(a_wall_clock_that_is_set_ahead_makes_no_timeout_shorter, set_clock_right),
		cmocka_unit_test(what_is_unlinked_does_not_pass),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
