#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "executor/attempt/aside.h"

#define LARGE ((size_t)1024 * 1024) /* more than a pipe holds */

static int ends[2]; /* the attempt's and the daemon's */
static struct daemon_link daemon_end;
static struct buffer out;

static int begin(void **state UNUSED)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	daemon_link_init(&daemon_end, ends[0]);
	buffer_init(&out, 2 * LARGE);
	return 0;
}

static int end(void **state UNUSED)
{
	buffer_release(&out);
	daemon_link_release(&daemon_end);
	return close(ends[0]) | close(ends[1]);
}

/* Nothing of it is left either. */
static int run_until(int64_t deadline_ms, aside_work *work, void *ctx, struct error *err)
{
	const struct aside_limits limits = {
		.deadline_ms = deadline_ms, .memory_bytes = INT64_C(256) * 1024 * 1024, .link = &daemon_end};
	int rc = aside_run(&limits, work, ctx, &out, err);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return rc;
}

static int run(aside_work *work, void *ctx, struct error *err)
{
	return run_until(clock_boot_ms() + 60000, work, ctx, err);
}

static int say_much(void *ctx UNUSED, struct buffer *to, struct error *err UNUSED)
{
	while (to->len < LARGE)
		CHECK(buffer_append_str(to, "0123456789abcdef") == 0);
	return 0;
}

static int fail_so(void *ctx UNUSED, struct buffer *to, struct error *err)
{
	CHECK(buffer_append_str(to, "half") == 0);
	return error_set(err, ERR_CONFLICT, "both sides");
}

static int change(void *ctx, struct buffer *to UNUSED, struct error *err UNUSED)
{
	*(int *)ctx = 2;
	return 0;
}

static int hang(void *ctx UNUSED, struct buffer *to UNUSED, struct error *err UNUSED)
{
	while (pause() < 0) { /* until it is killed */
	}
	return 0;
}

/* A cancel that comes when the work has begun. */
static int cancel_and_hang(void *ctx, struct buffer *to, struct error *err)
{
	struct buffer frame;
	buffer_init(&frame, 64);
	CHECK(frame_append(&frame, FRAME_CANCEL, 0, "", 0) == 0);
	CHECK(send(ends[1], frame.data, frame.len, 0) == (ssize_t)frame.len);
	return hang(ctx, to, err);
}

static int die(void *ctx UNUSED, struct buffer *to UNUSED, struct error *err UNUSED)
{
	return raise(SIGKILL);
}

TEST(what_the_work_says_comes_back_whole)
{
	struct error err = ERROR_INIT;
	assert_int_equal(buffer_append_str(&out, "before "), 0);
	assert_int_equal(run(say_much, NULL, &err), 0);
	assert_int_equal(out.len, strlen("before ") + LARGE);
	assert_memory_equal(out.data, "before 0123", 11);
	assert_memory_equal(out.data + out.len - 4, "cdef", 4);
}

TEST(its_failure_comes_back_and_nothing_else)
{
	struct error err = ERROR_INIT;
	assert_int_equal(run(fail_so, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_string_equal(err.message, "both sides");
	assert_int_equal(out.len, 0);
}

TEST(what_it_changes_in_memory_is_lost)
{
	int value = 1;
	struct error err = ERROR_INIT;
	assert_int_equal(run(change, &value, &err), 0);
	assert_int_equal(value, 1);
}

TEST(the_deadline_kills_it)
{
	struct error err = ERROR_INIT;
	assert_int_equal(run_until(clock_boot_ms() + 50, hang, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
}

TEST(a_cancel_kills_it)
{
	struct error err = ERROR_INIT;
	assert_int_equal(run(cancel_and_hang, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_true(daemon_end.cancelled);
}

TEST(when_it_dies_its_caller_lives)
{
	struct error err = ERROR_INIT;
	assert_int_equal(run(die, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_work_says_comes_back_whole, begin, end),
		cmocka_unit_test_setup_teardown(its_failure_comes_back_and_nothing_else, begin, end),
		cmocka_unit_test_setup_teardown(what_it_changes_in_memory_is_lost, begin, end),
		cmocka_unit_test_setup_teardown(the_deadline_kills_it, begin, end),
		cmocka_unit_test_setup_teardown(a_cancel_kills_it, begin, end),
		cmocka_unit_test_setup_teardown(when_it_dies_its_caller_lives, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
