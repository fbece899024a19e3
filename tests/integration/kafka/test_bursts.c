/* Bursts before a producer of a real Kafka, which is frozen while messages shall stay under way. */
#include "bursting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void what_finds_few_under_way_goes_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct bursts_limits two = one;
	two.under_way = 2;
	open_bursts(fixture, NULL, PATIENT_MS, &two);
	test_freeze_kafka();
	for (int i = 0; i < 2; i++) {
		produce(fixture, i, 1);
		assert_becomes(requests == i + 1, 60000);
	}
	assert_int_equal(reports_of(fixture->fates, 2), 0); /* nothing was acknowledged meanwhile */
	test_thaw_kafka();
	assert_becomes(reports_of(fixture->fates, 2) == 2, 60000);
	assert_fates(fixture->fates, 2, ERR_NONE);
}

static void what_is_under_way_to_one_partition_does_not_hold_up_another(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct kafka_message message = message_of(fixture, "{}");
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	for (int i = 0; i < 2; i++) {
		message.partition = i;
		assert_ok(give(fixture->bursts, &fixture->fates[i], &message, &err), err);
		assert_becomes(requests == i + 1, 60000);
	}
	test_thaw_kafka();
	assert_becomes(reports_of(fixture->fates, 2) == 2, 60000);
	assert_fates(fixture->fates, 2, ERR_NONE);
}

static void what_has_waited_too_long_is_not_sent(void **state)
{
	struct fixture *fixture = *state;
	struct bursts_limits hasty = one;
	hasty.waiting_ms = 50;
	open_bursts(fixture, NULL, PATIENT_MS, &hasty);
	test_freeze_kafka();
	produce(fixture, 0, 2);
	int64_t until_ms = test_now_ms() + 200;
	assert_becomes(test_now_ms() > until_ms, 60000);
	test_thaw_kafka();
	assert_becomes(reports_of(fixture->fates, 2) == 2, 60000);
	assert_fates(fixture->fates, 1, ERR_NONE);
	assert_fates(&fixture->fates[1], 1, ERR_UNAVAILABLE);
}

static void what_finds_many_under_way_waits_until_they_are_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct fate *fates = fixture->fates;
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	produce(fixture, 0, 2);
	/* By the producer itself, and after them: it is not behind one that waits. */
	struct kafka_message message = message_of(fixture, "{}");
	assert_ok(kafka_produce(fixture->producer, &message, on_done, &fates[2], &err), err);
	test_thaw_kafka();
	assert_becomes(reports_of(fates, 3) == 3, 60000);
	assert_int_equal(fates[0].offset, 0);
	assert_int_equal(fates[2].offset, 1);
	assert_int_equal(fates[1].offset, 2);
}

/* Requests for FATES messages of which all but the first wait. */
static int requests_of_a_burst(struct fixture *fixture)
{
	memset(fixture->fates, 0, sizeof(fixture->fates));
	requests = 0;
	test_freeze_kafka();
	/* One by one: each of them would be a request of its own. */
	for (int i = 0; i < FATES; i++) {
		produce(fixture, i, 1);
		assert_becomes(requests == 1, 60000);
		test_pause();
	}
	test_thaw_kafka();
	assert_becomes(reports_of(fixture->fates, FATES) == FATES, 60000);
	assert_fates(fixture->fates, FATES, ERR_NONE);
	printf("# %d messages in %d requests\n", FATES, requests);
	return requests;
}

static void what_waited_shares_requests(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	/* librdkafka sends what it has whenever its thread gets to run: on a busy machine that may be after each message.
	 */
	bool shared = false;
	for (int i = 0; i < 20 && !shared; i++)
		shared = requests_of_a_burst(fixture) <= FATES / 2;
	assert_true(shared);
}

static void see_headers(void *ctx, const rd_kafka_message_t *message)
{
	int *seen = ctx;
	if (++*seen == 1)
		return; /* the one that was under way */
	const char *const headers[][2] = {
		{"ce_id", "an id"},          {"ce_type", "a.type"},         {"ce_source", "/a/source"},
		{"ce_subject", "a subject"}, {"ce_time", "a time"},         {"ce_hash", "a hash"},
		{"traceparent", "a trace"},  {"ce_sequence", "0000000007"}, {"ce_specversion", "1.0"},
	};
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		assert_string_equal(test_header(message, headers[i][0]), headers[i][1]);
	assert_int_equal(message->key_len, 5);
	assert_memory_equal(message->key, "a key", 5);
	assert_int_equal(message->len, 9);
	assert_memory_equal(message->payload, "some data", 9);
}

static void a_message_that_waited_is_as_it_was(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct fate *fates = fixture->fates;
	const struct cloudevent own = {.id = "an id",
								   .type = "a.type",
								   .source = "/a/source",
								   .subject = "a subject",
								   .time = "a time",
								   .hash = "a hash",
								   .traceparent = "a trace",
								   .sequence = 7};
	const struct kafka_message message = {
		.topic = fixture->topic, .key = "a key", .key_len = 5, .data = "some data", .data_len = 9, .event = &own};
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	produce(fixture, 0, 1);
	assert_ok(give(fixture->bursts, &fates[1], &message, &err), err);
	test_thaw_kafka();
	assert_becomes(reports_of(fates, 2) == 2, 60000);
	assert_fates(fates, 2, ERR_NONE);
	int seen = 0;
	test_read_partition(fixture->topic, 0, see_headers, &seen);
	assert_int_equal(seen, 2);
}

static void see_last(void *ctx, const rd_kafka_message_t *message)
{
	char *last = ctx;
	(void)snprintf(last, 16, "%.*s", (int)message->len, (const char *)message->payload);
}

static void what_waits_is_not_copied(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct fate *fates = fixture->fates;
	char data[] = "before", last[16] = "";
	struct kafka_message message = message_of(fixture, data);
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	produce(fixture, 0, 1);
	assert_ok(give(fixture->bursts, &fates[1], &message, &err), err);
	data[0] = 'B'; /* which nobody may do, but it shows */
	test_thaw_kafka();
	assert_becomes(reports_of(fates, 2) == 2, 60000);
	assert_fates(fates, 2, ERR_NONE);
	test_read_partition(fixture->topic, 0, see_last, last);
	assert_string_equal(last, "Before");
}

static void what_waits_behind_a_burst_that_failed_fails_with_it(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, 1000, &one);
	struct fate *fates = fixture->fates;
	bool late = true;
	int sent = 0;
	/* Not where the second was over before all of them were given to it, or before librdkafka had sent the first: then
	 * again. */
	for (int i = 0; i < 20 && late; i++) {
		memset(fixture->fates, 0, sizeof(fixture->fates));
		test_freeze_kafka();
		requests = 0;
		int64_t began_ms = test_now_ms();
		produce(fixture, 0, 10);
		late = test_now_ms() - began_ms > 500;
		while (reports_of(fates, 10) < 10 && test_now_ms() - began_ms < 60000)
			test_pause();
		sent = requests;
		test_thaw_kafka();
		late |= sent == 0;
	}
	assert_fates(fates, 1, ERR_UNKNOWN);
	assert_fates(fates + 1, 9, ERR_UNAVAILABLE); /* by one time-out for all */
	assert_int_equal(sent, 1);                   /* that of the first: it is true that the others were not written */
}

static void too_many_messages_do_not_wait(void **state)
{
	struct fixture *fixture = *state;
	struct bursts_limits few = one;
	few.waiting = 2;
	open_bursts(fixture, "127.0.0.1:1", PATIENT_MS, &few);
	produce(fixture, 0, 3);
	struct error err = ERROR_INIT;
	struct kafka_message message = message_of(fixture, "{}");
	assert_int_equal(give(fixture->bursts, &fixture->fates[3], &message, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	close_bursts(fixture);
	assert_int_equal(fixture->fates[3].reports, 0); /* the call has said it */
}

static void too_many_bytes_do_not_wait(void **state)
{
	struct fixture *fixture = *state;
	struct bursts_limits few = one;
	few.waiting_bytes = 2 * (sizeof("k") - 1 + sizeof("{}") - 1);
	open_bursts(fixture, "127.0.0.1:1", PATIENT_MS, &few);
	produce(fixture, 0, 3);
	struct error err = ERROR_INIT;
	struct kafka_message message = message_of(fixture, "");
	message.key_len = 0;
	assert_ok(give(fixture->bursts, &fixture->fates[3], &message, &err), err);
	message.key_len = 1;
	assert_int_equal(give(fixture->bursts, &fixture->fates[4], &message, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void freeing_reports_what_is_under_way_and_what_waits(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, "127.0.0.1:1", PATIENT_MS, &one);
	struct fate *fates = produce(fixture, 0, 10);
	close_bursts(fixture);
	assert_fates(fates, 10, ERR_UNAVAILABLE);
}

static void what_waits_is_sent_before_the_producer_ends(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	test_freeze_kafka();
	struct fate *fates = produce(fixture, 0, 10);
	test_thaw_kafka();
	kafka_producer_free(fixture->producer, 60000);
	fixture->producer = NULL;
	assert_fates(fates, 10, ERR_NONE);
}

static void what_is_refused_takes_none_of_its_burst_with_it(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct kafka_message refused = message_of(fixture, "{}");
	refused.partition = NO_PARTITION;
	struct fate *fates = fixture->fates;
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	produce(fixture, 0, 2);
	assert_ok(give(fixture->bursts, &fates[3], &refused, &err), err);
	produce(fixture, 2, 1);
	test_thaw_kafka();
	assert_becomes(reports_of(fates, 4) == 4, 60000);
	assert_fates(fates, 3, ERR_NONE);
	assert_fates(fates + 3, 1, ERR_INTERNAL);
}

/* While its burst, which is nothing else, is not over: those two wait behind it. */
static void on_refused(void *ctx, const struct kafka_delivery *delivery)
{
	struct fixture *fixture = ctx;
	fixture->fates[1].outcome = delivery->outcome;
	produce(fixture, 2, 2);
	fixture->fates[1].reports++;
}

static void what_waits_behind_a_burst_that_was_refused_is_sent(void **state)
{
	struct fixture *fixture = *state;
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	struct kafka_message refused = message_of(fixture, "{}");
	refused.partition = NO_PARTITION;
	struct error err = ERROR_INIT;
	test_freeze_kafka();
	struct fate *fates = produce(fixture, 0, 1);
	refused.data_stays = true;
	fates[1].op = (struct bursts_op){.message = refused, .done = on_refused, .ctx = fixture};
	assert_ok(bursts_produce(fixture->bursts, &fates[1].op, &err), err);
	test_thaw_kafka();
	assert_becomes(reports_of(fates, 4) == 4, 60000);
	assert_fates(fates + 1, 1, ERR_INTERNAL);
	assert_fates(fates + 2, 2, ERR_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_finds_few_under_way_goes_at_once),
		TEST(what_is_under_way_to_one_partition_does_not_hold_up_another),
		TEST(what_has_waited_too_long_is_not_sent),
		TEST(what_finds_many_under_way_waits_until_they_are_acknowledged),
		TEST(what_waited_shares_requests),
		TEST(a_message_that_waited_is_as_it_was),
		TEST(what_waits_is_not_copied),
		TEST(what_waits_behind_a_burst_that_failed_fails_with_it),
		TEST(too_many_messages_do_not_wait),
		TEST(too_many_bytes_do_not_wait),
		TEST(freeing_reports_what_is_under_way_and_what_waits),
		TEST(what_waits_is_sent_before_the_producer_ends),
		TEST(what_is_refused_takes_none_of_its_burst_with_it),
		TEST(what_waits_behind_a_burst_that_was_refused_is_sent),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
