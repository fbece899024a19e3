#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>

#include "common/base/clock.h"
#include "common/base/signals.h"

/* Signals are the process's, so each test runs in a child of its own. A failed claim there is exit 99. */
#define CLAIM(expression)                                                                                              \
	do {                                                                                                               \
		if (!(expression))                                                                                             \
			_exit(99);                                                                                                 \
	} while (0)

static int run(void (*function)(void *arg))
{
	struct buffer output;
	int status = unit_run_in_child(function, NULL, &output);
	buffer_release(&output);
	return status;
}

static void assert_exit(void (*function)(void *arg), int code)
{
	int status = run(function);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void drain_by_term(void *arg)
{
	(void)arg;
	signals_init();
	CLAIM(!signals_draining());
	CLAIM(kill(getpid(), SIGTERM) == 0);
	CLAIM(signals_wait(-1));
	CLAIM(signals_draining());
}

TEST(sigterm_begins_the_drain)
{
	assert_exit(drain_by_term, 0);
}

static void drain_by_int(void *arg)
{
	(void)arg;
	signals_init();
	CLAIM(kill(getpid(), SIGINT) == 0);
	CLAIM(signals_wait(clock_boot_ms() + 50000));
}

TEST(sigint_begins_the_drain)
{
	assert_exit(drain_by_int, 0);
}

static void two_signals(void *arg)
{
	(void)arg;
	signals_init();
	CLAIM(kill(getpid(), SIGTERM) == 0);
	CLAIM(signals_wait(-1));
	CLAIM(kill(getpid(), SIGTERM) == 0);
	for (;;)
		(void)pause(); /* the helper thread ends us */
}

TEST(a_second_signal_ends_the_process_with_status_1)
{
	assert_exit(two_signals, 1);
}

static void hup_then_term(void *arg)
{
	(void)arg;
	signals_init();
	CLAIM(signals_hangups() == 0);
	CLAIM(kill(getpid(), SIGHUP) == 0);
	for (int64_t until_ms = clock_boot_ms() + 20000; signals_hangups() == 0 && clock_boot_ms() < until_ms;)
		CLAIM(!signals_wait(clock_boot_ms() + 5)); /* the helper thread counts it */
	CLAIM(signals_hangups() == 1);
	CLAIM(kill(getpid(), SIGTERM) == 0);
	CLAIM(signals_wait(-1));
}

TEST(sighup_is_counted_and_neither_kills_nor_drains)
{
	assert_exit(hup_then_term, 0);
}

static void wait_times_out(void *arg)
{
	(void)arg;
	signals_init();
	int64_t before = clock_boot_ms();
	CLAIM(!signals_wait(before + 20));
	CLAIM(clock_boot_ms() - before >= 20);
}

TEST(waiting_ends_at_the_deadline)
{
	assert_exit(wait_times_out, 0);
}

static void fd_stays_readable(void *arg)
{
	(void)arg;
	signals_init();
	struct pollfd ready = {.fd = signals_drain_fd(), .events = POLLIN};
	CLAIM(poll(&ready, 1, 0) == 0);
	signals_begin_drain("test");
	for (int i = 0; i < 3; i++)
		CLAIM(poll(&ready, 1, 0) == 1);
	signals_begin_drain("again"); /* harmless */
	CLAIM(signals_wait(0));
}

TEST(the_drain_descriptor_stays_readable)
{
	assert_exit(fd_stays_readable, 0);
}

static void write_to_closed_pipe(void *arg)
{
	(void)arg;
	int ends[2];
	signals_init();
	CLAIM(pipe(ends) == 0 && close(ends[0]) == 0);
	CLAIM(write(ends[1], "x", 1) < 0 && errno == EPIPE);
}

TEST(sigpipe_is_ignored)
{
	assert_exit(write_to_closed_pipe, 0);
}

static void reset_then_term(void *arg)
{
	(void)arg;
	signals_init();
	signals_reset_in_child();
	CLAIM(kill(getpid(), SIGPIPE) == 0);
	for (;;)
		(void)pause();
}

TEST(a_reset_child_has_default_dispositions_and_an_empty_mask)
{
	int status = run(reset_then_term);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGPIPE);
}

static void init_twice(void *arg)
{
	(void)arg;
	signals_init();
	signals_init();
}

TEST(initialising_twice_aborts)
{
	int status = run(init_twice);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sigterm_begins_the_drain),
		cmocka_unit_test(sigint_begins_the_drain),
		cmocka_unit_test(a_second_signal_ends_the_process_with_status_1),
		cmocka_unit_test(sighup_is_counted_and_neither_kills_nor_drains),
		cmocka_unit_test(waiting_ends_at_the_deadline),
		cmocka_unit_test(the_drain_descriptor_stays_readable),
		cmocka_unit_test(sigpipe_is_ignored),
		cmocka_unit_test(a_reset_child_has_default_dispositions_and_an_empty_mask),
		cmocka_unit_test(initialising_twice_aborts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
