#include "common/base/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"

static atomic_bool draining;
static atomic_uint hangups;
static struct wakeup drain_event = {.fd = -1};
static int signal_fd = -1;

void signals_begin_drain(const char *reason)
{
	if (atomic_exchange(&draining, true))
		return;
	log_info("drain begins", "reason", reason, NULL);
	if (drain_event.fd >= 0)
		wakeup_signal(&drain_event);
}

static void handle_signal(int number)
{
	const char *name = number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP";
	if (number == SIGHUP) {
		(void)atomic_fetch_add(&hangups, 1); /* only the count matters */
		log_info("signal", "signal", name, NULL);
		return;
	}
	if (signals_draining()) {
		log_warn("second signal: ends at once", "signal", name, NULL);
		_exit(1);
	}
	signals_begin_drain(name);
}

static void *read_signals(void *arg)
{
	(void)arg;
	for (;;) {
		struct signalfd_siginfo info;
		ssize_t got = read(signal_fd, &info, sizeof(info));
		if (got == (ssize_t)sizeof(info))
			handle_signal((int)info.ssi_signo);
		else
			CHECK(got < 0 && errno == EINTR);
	}
	return NULL;
}

void signals_init(void)
{
	CHECK(signal_fd < 0);
	sigset_t handled, all;
	(void)sigemptyset(&handled); /* these cannot fail with valid numbers */
	(void)sigaddset(&handled, SIGTERM);
	(void)sigaddset(&handled, SIGINT);
	(void)sigaddset(&handled, SIGHUP);
	(void)sigfillset(&all);
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);

	signal_fd = signalfd(-1, &handled, SFD_CLOEXEC);
	CHECK(signal_fd >= 0);
	wakeup_init(&drain_event);

	/* The helper blocks everything: it is never the thread that a handler interrupts. */
	pthread_t thread;
	struct error err = ERROR_INIT;
	CHECK(pthread_sigmask(SIG_BLOCK, &handled, NULL) == 0);
	sigset_t before;
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	CHECK(thread_start(&thread, "signals", 0, read_signals, NULL, &err) == 0);
	thread_detach(thread);
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

bool signals_draining(void)
{
	return atomic_load(&draining);
}

unsigned signals_hangups(void)
{
	return atomic_load(&hangups);
}

int signals_drain_fd(void)
{
	return drain_event.fd;
}

bool signals_wait(int64_t deadline_ms)
{
	while (!signals_draining()) {
		struct pollfd ready = {.fd = drain_event.fd, .events = POLLIN};
		int left_ms = deadline_ms < 0 ? -1 : clock_left_ms(deadline_ms);
		if (left_ms == 0)
			break;
		int count = poll(&ready, 1, left_ms);
		CHECK(count >= 0 || errno == EINTR);
	}
	return signals_draining();
}

void signals_reset_in_child(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &standard, NULL); /* refused for SIGKILL, SIGSTOP and libc's own */
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with a valid `how` */
}
