/*
 * Mutexes whose calls cannot fail: they are of the default kind, made before they are used and unlocked by who has locked
 * them, so that a failure is a broken invariant. Destroying one is pthread's.
 */
#pragma once

#include <pthread.h>

#include "common/base/compiler.h"

static inline void mutex_init(pthread_mutex_t *mutex)
{
	CHECK(pthread_mutex_init(mutex, NULL) == 0);
}

static inline void mutex_lock(pthread_mutex_t *mutex)
{
	CHECK(pthread_mutex_lock(mutex) == 0);
}

static inline void mutex_unlock(pthread_mutex_t *mutex)
{
	CHECK(pthread_mutex_unlock(mutex) == 0);
}
