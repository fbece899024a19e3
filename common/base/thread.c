#include "common/base/thread.h"

#include <string.h>

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

void thread_detach(pthread_t thread)
{
	CHECK(pthread_detach(thread) == 0);
}
