/* What every unit test begins with. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* TEST(a_claim_in_one_sentence) { … } */
#define TEST(name) static void name(void **state UNUSED)

/* Processor time of this process: what else the machine does is not in it. */
static inline int64_t unit_cpu_us(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Runs `function` in a forked child with standard output and error captured; returns waitpid's status. */
static inline int unit_run_in_child(void (*function)(void *arg), void *arg, struct buffer *ret_output)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit no_core = {0, 0};
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)dup2(ends[1], STDERR_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		function(arg);
		_exit(0);
	}
	(void)close(ends[1]);
	buffer_init(ret_output, 1 << 20);
	char chunk[4096];
	ssize_t got;
	while ((got = read(ends[0], chunk, sizeof(chunk))) > 0)
		(void)buffer_append(ret_output, chunk, (size_t)got);
	(void)close(ends[0]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The function ends by abort(), which is what a broken invariant does. */
static inline void unit_assert_aborts(void (*function)(void *arg), void *arg)
{
	struct buffer output;
	int status = unit_run_in_child(function, arg, &output);
	buffer_release(&output);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}
