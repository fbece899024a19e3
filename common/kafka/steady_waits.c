/*
 * librdkafka's threads wait by C11's cnd_timedwait, whose deadline is wall-clock time: when the clock is set back by an
 * hour, each wait under way lasts an hour longer, and with it what the thread does between its waits, as the heartbeats
 * to the group. This definition takes precedence over libc's for the whole process and waits as long by
 * CLOCK_MONOTONIC. In glibc the C11 types are the pthread types.
 */
#include <errno.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

#include "common/base/compiler.h"
#include "common/kafka/kafka_private.h"

#define SECOND_NS 1000000000L

/* CLOCK_MONOTONIC's time when `until` will be, as the wall clock goes now. */
static struct timespec steady(const struct timespec *until)
{
	struct timespec wall, now;
	CHECK(timespec_get(&wall, TIME_UTC) == TIME_UTC);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	struct timespec then = {.tv_sec = now.tv_sec + until->tv_sec - wall.tv_sec,
							.tv_nsec = now.tv_nsec + until->tv_nsec - wall.tv_nsec};
	if (then.tv_nsec < 0) {
		then.tv_nsec += SECOND_NS;
		then.tv_sec--;
	} else if (then.tv_nsec >= SECOND_NS) {
		then.tv_nsec -= SECOND_NS;
		then.tv_sec++;
	}
	if (then.tv_sec < 0)
		then = (struct timespec){0};
	return then;
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until)
{
	_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t) && sizeof(mtx_t) == sizeof(pthread_mutex_t),
				   "same types in glibc");
	struct timespec then = steady(until);
	int code = pthread_cond_clockwait((pthread_cond_t *)(void *)cond, (pthread_mutex_t *)(void *)mutex, CLOCK_MONOTONIC,
									  &then);
	if (code == 0)
		return thrd_success;
	return code == ETIMEDOUT ? thrd_timedout : thrd_error;
}

void kafka_steady_waits(void)
{
}
