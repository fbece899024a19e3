/*
 * Condition variables with timed waits by CLOCK_MONOTONIC: the wall clock may be set while one waits, and pthread knows
 * no CLOCK_BOOTTIME. Signal, broadcast and destroy are pthread's.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

void cond_init(pthread_cond_t *cond);
/* The moment `ms` milliseconds from now, for cond_wait_until. */
struct timespec cond_deadline(int ms);
/* With the lock held: waits until somebody signals, or for no reason at all (look at the state). False: the moment has
 * passed. */
bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *deadline);
