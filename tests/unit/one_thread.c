/* In the place of pthread_create, in the unit tests that CMakeLists.txt beside this does not name as threaded. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg)
{
	(void)thread;
	(void)attributes;
	(void)start;
	(void)arg;
	(void)fputs("this test has threads: kiln_threaded in tests/unit/CMakeLists.txt is to name it\n", stderr);
	abort();
}
