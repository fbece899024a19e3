#include "common/base/cond.h"

#include <errno.h>
#include <stdint.h>

#include "common/base/compiler.h"

void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;
	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(cond, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes); /* cannot fail */
}

struct timespec cond_deadline(int ms)
{
	struct timespec deadline;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &deadline) == 0);
	int64_t ns = deadline.tv_nsec + (int64_t)ms * 1000000;
	deadline.tv_sec += ns / 1000000000;
	deadline.tv_nsec = ns % 1000000000;
	return deadline;
}

bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *deadline)
{
	int code = pthread_cond_timedwait(cond, lock, deadline);
	CHECK(code == 0 || code == ETIMEDOUT);
	return code == 0;
}
