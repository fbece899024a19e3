/*
 * ThreadSanitizer builds only. librdkafka uses C11 threads, which GCC 12's ThreadSanitizer does not know: it crashes in
 * such a thread, and does not see that librdkafka's locks order what they protect. These definitions take precedence
 * over libc's for the whole process and go through pthread calls, which it knows. In glibc the C11 types are the
 * pthread types. cnd_timedwait is steady_waits.c's in all builds.
 */
#include "common/kafka/kafka_private.h"

#ifdef __SANITIZE_THREAD__
#include <errno.h>
#include <stdlib.h>
#include <threads.h>

#include "common/base/alloc.h"

static pthread_mutex_t *mutex_of(mtx_t *mutex)
{
	_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "same type in glibc");
	return (pthread_mutex_t *)(void *)mutex;
}

static pthread_cond_t *cond_of(cnd_t *cond)
{
	_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "same type in glibc");
	return (pthread_cond_t *)(void *)cond;
}

static int result_of(int code)
{
	if (code == 0)
		return thrd_success;
	if (code == EBUSY)
		return thrd_busy;
	return code == ETIMEDOUT ? thrd_timedout : thrd_error;
}

struct start {
	thrd_start_t function;
	void *arg;
};

static void *trampoline(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	return (void *)(intptr_t)start.function(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
	struct start *start = xmalloc(sizeof(*start));
	*start = (struct start){.function = function, .arg = arg};
	int code = pthread_create(thread, NULL, trampoline, start);
	if (code != 0)
		free(start);
	return result_of(code);
}

int thrd_join(thrd_t thread, int *ret_result)
{
	void *value = NULL;
	int code = pthread_join(thread, &value);
	if (ret_result != NULL)
		*ret_result = (int)(intptr_t)value;
	return result_of(code);
}

int thrd_detach(thrd_t thread)
{
	return result_of(pthread_detach(thread));
}

int mtx_init(mtx_t *mutex, int type)
{
	pthread_mutexattr_t attributes;
	CHECK(pthread_mutexattr_init(&attributes) == 0);
	if ((type & mtx_recursive) != 0)
		CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0);
	int code = pthread_mutex_init(mutex_of(mutex), &attributes);
	(void)pthread_mutexattr_destroy(&attributes); /* cannot fail */
	return result_of(code);
}

void mtx_destroy(mtx_t *mutex)
{
	(void)pthread_mutex_destroy(mutex_of(mutex)); /* as mtx_destroy: says nothing */
}

int mtx_lock(mtx_t *mutex)
{
	return result_of(pthread_mutex_lock(mutex_of(mutex)));
}

int mtx_trylock(mtx_t *mutex)
{
	return result_of(pthread_mutex_trylock(mutex_of(mutex)));
}

int mtx_unlock(mtx_t *mutex)
{
	return result_of(pthread_mutex_unlock(mutex_of(mutex)));
}

int cnd_init(cnd_t *cond)
{
	return result_of(pthread_cond_init(cond_of(cond), NULL));
}

void cnd_destroy(cnd_t *cond)
{
	(void)pthread_cond_destroy(cond_of(cond)); /* as cnd_destroy: says nothing */
}

int cnd_signal(cnd_t *cond)
{
	return result_of(pthread_cond_signal(cond_of(cond)));
}

int cnd_broadcast(cnd_t *cond)
{
	return result_of(pthread_cond_broadcast(cond_of(cond)));
}

int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
	return result_of(pthread_cond_wait(cond_of(cond), mutex_of(mutex)));
}

/* librdkafka's own memory is ordered by reference counts, which are not instrumented: its calls of free and memcpy, and
 * its locks that it has freed, look like races. Our code, also when librdkafka calls it, is still looked at. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:librdkafka.so.1\nrace:^mtx_\nrace:^cnd_\n";
}
#endif

void kafka_tsan_threads(void)
{
}
