#include "common/base/thread.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes, void *(*function)(void *arg), void *arg,
				 struct error *err)
{
	CHECK(strlen(name) <= THREAD_NAME_MAX);
	pthread_attr_t attributes;
	CHECK(pthread_attr_init(&attributes) == 0);
	CHECK(stack_bytes == 0 || pthread_attr_setstacksize(&attributes, stack_bytes) == 0);
	int code = pthread_create(ret_thread, &attributes, function, arg);
	(void)pthread_attr_destroy(&attributes); /* cannot fail */
	if (code != 0)
		return error_set_errno(err, code, "starting the thread %s", name);
	(void)pthread_setname_np(*ret_thread, name); /* only a name */
	return 0;
}

void thread_join(pthread_t thread)
{
	CHECK(pthread_join(thread, NULL) == 0);
}

bool thread_join_until(pthread_t thread, int64_t deadline_ms)
{
	/* pthread_timedjoin_np goes by the wall clock, and pthread_clockjoin_np is unknown to ThreadSanitizer. */
	for (;;) {
		int64_t now_ms = clock_boot_ms();
		int code = pthread_tryjoin_np(thread, NULL);
		CHECK(code == 0 || code == EBUSY);
		if (code == 0 || now_ms >= deadline_ms)
			return code == 0;
		clock_pause_ms(1); /* until it has ended */
	}
}

void thread_detach(pthread_t thread)
{
	CHECK(pthread_detach(thread) == 0);
}

bool thread_may_preempt(bool may)
{
	const struct sched_param none = {.sched_priority = 0};
	int before = sched_getscheduler(0), after = may ? SCHED_OTHER : SCHED_BATCH;
	bool is_ours = before == SCHED_OTHER || before == SCHED_BATCH;
	if (is_ours && before != after && sched_setscheduler(0, after, &none) < 0)
		log_warn("a thread's scheduling policy stays as it is", "error", strerror(errno), NULL);
	return before != SCHED_BATCH;
}
