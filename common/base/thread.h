/*
 * Threads: how each of this process is started and waited for. A thread inherits the signals that its creator blocks:
 * what signals_init blocks in the main thread is blocked in all.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define THREAD_NAME_MAX 15 /* Linux's limit */

/* Runs `function(arg)` in a thread with `stack_bytes` of stack (0: the process's default). `name` is for people who
 * look at threads; THREAD_NAME_MAX characters at most. thread_join or thread_detach must follow. 0, or -1 when the system
 * has no thread to give. Any thread. */
int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes, void *(*function)(void *arg), void *arg,
				 struct error *err) MUST_CHECK;
/* Returns when the thread's function has. Once for each thread. */
void thread_join(pthread_t thread);
/* The same, until then (clock_boot_ms). False: it still runs, and is still to be joined or detached. */
bool thread_join_until(pthread_t thread, int64_t deadline_ms) MUST_CHECK;
/* Nobody will wait for it. */
void thread_detach(pthread_t thread);

/* May the calling thread, and those that it starts from now on (libraries' too), take a processor from a thread that
 * runs, just because it has woken up? They may until they are told not to: then they wait for their turn (SCHED_BATCH;
 * sched(7)), and find more to do in one go. Their share of the processors stays. Returns whether they might before, to
 * be given back. Another policy than these two is the operator's, and stays; a system that refuses is told to the log.
 */
bool thread_may_preempt(bool may);
