#include "tests/unit/unit.h"

#include <string.h>

#include "build-service/assignment.h"
#include "build-service/deadlines.h"
#include "build-service/releases.h"
#include "common/base/alloc.h"

static const char build_id[] = "01890000-0000-7000-8000-00000000000a",
				  lease_id[] = "01890000-0000-7000-8000-00000000000b";

/* How the producer answers, and who is told of what it took. */
static enum error_kind refuses;
static kafka_delivered *reported;
static void *reported_ctx;

int __wrap_kafka_produce(struct kafka_producer *producer, const struct kafka_message *message, kafka_delivered *done,
						 void *ctx, struct error *err);
int __wrap_kafka_produce(struct kafka_producer *producer UNUSED, const struct kafka_message *message UNUSED,
						 kafka_delivered *done, void *ctx, struct error *err)
{
	if (refuses != ERR_NONE)
		return error_set(err, refuses, "refused");
	reported = done;
	reported_ctx = ctx;
	return 0;
}

/* Accept deadlines are over at once. */
static struct service service;
static struct buffer body;
static struct assignment assignment;

static int begin(void **state UNUSED)
{
	refuses = ERR_NONE;
	reported = NULL;
	service = (struct service){.releases = releases_new(NULL), .deadlines = deadlines_new(0)};
	buffer_init(&body, ASSIGNMENT_MAX_BYTES);
	assignment =
		(struct assignment){.token.attempt = 1, .assigned_at = "now", .spec = "{}", .git = "{}", .earlier = "[]"};
	memcpy(assignment.token.build_id, build_id, UUID_TEXT_SIZE);
	memcpy(assignment.token.lease_id, lease_id, UUID_TEXT_SIZE);
	memcpy(assignment.to.worker_id, build_id, UUID_TEXT_SIZE);
	return 0;
}

static int end(void **state UNUSED)
{
	buffer_release(&body);
	releases_free(service.releases);
	deadlines_free(service.deadlines);
	return 0;
}

static size_t overdue(void)
{
	struct overdue found[2];
	return deadlines_overdue(service.deadlines, 0, found, ARRAY_LEN(found));
}

static size_t unsent(void)
{
	struct fencing_token tokens[2];
	size_t len = deadlines_unsent(service.deadlines, tokens, ARRAY_LEN(tokens));
	assert_true(len == 0 || fencing_token_equal(&tokens[0], &assignment.token));
	return len;
}

static void report(void)
{
	const struct kafka_delivery delivery = {.outcome = ERR_NONE};
	reported(reported_ctx, &delivery);
}

TEST(the_time_of_an_assignment_runs_from_its_report)
{
	assignment_send(&service, &assignment, &body);
	assert_int_equal(overdue(), 0);
	report();
	assert_int_equal(overdue(), 1);
}

TEST(no_time_runs_while_the_producer_has_no_room)
{
	refuses = ERR_LIMIT;
	assignment_send(&service, &assignment, &body);
	assert_int_equal(overdue(), 0);
	assert_int_equal(unsent(), 1);
}

TEST(the_time_of_one_that_found_room_later_runs_from_then_on)
{
	struct error err = ERROR_INIT;
	refuses = ERR_LIMIT;
	assignment_send(&service, &assignment, &body);
	assert_int_equal(assignment_send_again(&service, &assignment, &body, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(unsent(), 1);
	refuses = ERR_NONE;
	assert_int_equal(assignment_send_again(&service, &assignment, &body, &err), 0);
	assert_int_equal(unsent(), 0);
	assert_int_equal(overdue(), 0);
	report();
	assert_int_equal(overdue(), 1);
}

TEST(one_that_can_never_be_sent_is_overdue_as_if_it_had_been)
{
	refuses = ERR_INVALID;
	assignment_send(&service, &assignment, &body);
	assert_int_equal(overdue(), 1);
	assert_int_equal(unsent(), 0);
}

TEST(a_repeat_leaves_the_time_that_runs_as_it_is)
{
	struct error err = ERROR_INIT;
	assignment_send(&service, &assignment, &body);
	report();
	assert_int_equal(assignment_send_again(&service, &assignment, &body, &err), 0);
	assert_null(reported);
	assert_int_equal(overdue(), 1);
}

TEST(what_is_over_is_not_sent_any_more)
{
	refuses = ERR_LIMIT;
	assignment_send(&service, &assignment, &body);
	deadlines_drop(service.deadlines, lease_id);
	assert_int_equal(unsent(), 0);
	assert_null(deadlines_again(service.deadlines, lease_id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_time_of_an_assignment_runs_from_its_report, begin, end),
		cmocka_unit_test_setup_teardown(no_time_runs_while_the_producer_has_no_room, begin, end),
		cmocka_unit_test_setup_teardown(the_time_of_one_that_found_room_later_runs_from_then_on, begin, end),
		cmocka_unit_test_setup_teardown(one_that_can_never_be_sent_is_overdue_as_if_it_had_been, begin, end),
		cmocka_unit_test_setup_teardown(a_repeat_leaves_the_time_that_runs_as_it_is, begin, end),
		cmocka_unit_test_setup_teardown(what_is_over_is_not_sent_any_more, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
