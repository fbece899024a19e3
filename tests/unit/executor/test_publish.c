#include "tests/unit/unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor/attempt/attempt.h"

/* An attempt that is about to push its commit to a new branch, and a daemon that answers it from a thread. */
static struct {
	bool cancels; /* with the acknowledgement of the announcement */
	bool asked;   /* for the lease: the last question before a push */
} the_daemon;
static int ends[2];
static struct daemon_link daemon_end;
static struct executor_config config;
static struct attempt attempt;

static int begin(void **state UNUSED)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	memset(&the_daemon, 0, sizeof(the_daemon));
	config = (struct executor_config){.publish_timeout_ms = 60000, .git_timeout_ms = 60000};
	attempt = (struct attempt){
		.config = &config,
		.link = &daemon_end,
		.assignment.token = {.build_id = "019363b1-aaaa-7000-8000-000000000001",
							 .lease_id = "11111111-1111-4111-8111-111111111111",
							 .attempt = 1},
	};
	outcome_init(&attempt.outcome);
	daemon_link_init(&daemon_end, ends[0]);
	attempt_log_init(&attempt.log, &daemon_end, &attempt.assignment.token);
	return 0;
}

static int end(void **state UNUSED)
{
	attempt_log_release(&attempt.log);
	outcome_release(&attempt.outcome);
	daemon_link_release(&daemon_end);
	return close(ends[0]) | close(ends[1]);
}

static void answer(struct buffer *out, enum frame_type type, uint64_t id, const char *data)
{
	CHECK(frame_append(out, type, id, data, strlen(data)) == 0);
}

static void *be_the_daemon(void *unused UNUSED)
{
	struct buffer in, out;
	buffer_init(&in, FRAME_MAX_BYTES);
	buffer_init(&out, FRAME_MAX_BYTES);
	for (;;) {
		char *room = buffer_reserve(&in, 4096);
		CHECK(room != NULL);
		ssize_t got = recv(ends[1], room, 4096, 0);
		if (got <= 0)
			break;
		buffer_commit(&in, (size_t)got);
		struct frame frame;
		while (frame_peek(&in, &frame) == 1) {
			if (frame.type == FRAME_PHASE) {
				/* In this order, as Kafka gave them: what was read first comes first. */
				if (the_daemon.cancels)
					answer(&out, FRAME_CANCEL, 0, "");
				answer(&out, FRAME_ACK, frame.id, "");
			} else if (frame.type == FRAME_ASK_LEASE) {
				the_daemon.asked = true;
				answer(&out, FRAME_LEASE, frame.id, "{\"left_ms\":0}");
			}
			frame_consume(&in, &frame);
		}
		CHECK(send(ends[1], out.data, out.len, 0) == (ssize_t)out.len);
		buffer_clear(&out);
	}
	buffer_release(&in);
	buffer_release(&out);
	return NULL;
}

static void publish(void)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, be_the_daemon, NULL), 0);
	struct commit_made made = {.changed = true};
	assert_int_equal(attempt_publish(&attempt, &made), -1);
	assert_int_equal(shutdown(ends[0], SHUT_RDWR), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

TEST(a_cancel_that_comes_with_the_announcements_acknowledgement_is_no_publication)
{
	the_daemon.cancels = true;
	publish();
	assert_string_equal(attempt.outcome.error_class, "cancelled");
	assert_false(the_daemon.asked);
	assert_false(attempt.outcome.published);
	assert_true(attempt.outcome.closed); /* nothing of it can come later */
}

TEST(without_a_lease_nothing_is_pushed)
{
	publish();
	assert_true(the_daemon.asked);
	assert_string_equal(attempt.outcome.error_class, "worker_lost");
	assert_false(attempt.outcome.published);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cancel_that_comes_with_the_announcements_acknowledgement_is_no_publication,
										begin, end),
		cmocka_unit_test_setup_teardown(without_a_lease_nothing_is_pushed, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
