/* Ends of partitions by records of our own, on a real Kafka. Each test has a partition of its own. */
#include "services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/kafka/read_barrier.h"
#include "common/base/ids.h"
#include "common/kafka/topics.h"

#define ASKERS 24
#define WAIT_MS 60000

static struct kafka_producer *producer;

static int set_up(void **state)
{
	(void)state;
	test_topic(TOPIC_BUILD_REQUESTS, 12, NULL);
	test_topic(TOPIC_BUILD_RESULTS, 12, NULL);
	producer = test_producer();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kafka_producer_free(producer, 0);
	return 0;
}

static int64_t ask(struct read_barriers *barriers, int32_t partition)
{
	struct error err = ERROR_INIT;
	int64_t end = -1;
	struct read_barrier barrier = read_barrier_ask(barriers, partition);
	if (read_barrier_wait(barriers, &barrier, test_now_ms() + WAIT_MS, &end, &err) <= 0)
		return -1;
	return end;
}

struct asker {
	pthread_t thread;
	struct read_barriers *barriers;
	pthread_barrier_t *all;
	_Atomic bool *stop;
	int64_t end;
};

static void *ask_again_and_again(void *arg)
{
	struct asker *asker = arg;
	while (!atomic_load(asker->stop))
		asker->end = ask(asker->barriers, 3);
	return NULL;
}

/* Others ask all the time: one that was sent before the record was does not count. */
static void what_was_acknowledged_before_lies_below(void **state)
{
	(void)state;
	struct read_barriers *barriers = read_barriers_new(producer, TOPIC_BUILD_REQUESTS, "/kiln/test");
	static _Atomic bool stop; /* a failed assertion leaves the threads behind */
	static struct asker askers[3];
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		askers[i] = (struct asker){.barriers = barriers, .stop = &stop};
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_again_and_again, &askers[i]), 0);
	}
	for (int i = 0; i < 100; i++) {
		test_send(producer, TOPIC_BUILD_REQUESTS, 3, "key", "id", "test", "{}");
		int64_t end = test_end_offset(TOPIC_BUILD_REQUESTS, 3);
		assert_true(ask(barriers, 3) >= end);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++)
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
	read_barriers_free(barriers);
}

static void *ask_with_others(void *arg)
{
	struct asker *asker = arg;
	(void)pthread_barrier_wait(asker->all); /* one of them is told so */
	asker->end = ask(asker->barriers, 4);
	return NULL;
}

static void who_asks_together_shares_records(void **state)
{
	(void)state;
	struct asker askers[ASKERS];
	pthread_barrier_t all;
	struct read_barriers *barriers = read_barriers_new(producer, TOPIC_BUILD_REQUESTS, "/kiln/test");
	int64_t before = ask(barriers, 4);
	assert_int_equal(pthread_barrier_init(&all, NULL, ASKERS), 0);
	for (int i = 0; i < ASKERS; i++) {
		askers[i] = (struct asker){.barriers = barriers, .all = &all};
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_with_others, &askers[i]), 0);
	}
	for (int i = 0; i < ASKERS; i++) {
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
		assert_true(askers[i].end > before);
	}
	assert_true(ask(barriers, 4) - before < ASKERS / 2);
	(void)pthread_barrier_destroy(&all); /* nobody waits */
	read_barriers_free(barriers);
}

static void records_are_apart(void **state)
{
	(void)state;
	struct read_barriers *barriers = read_barriers_new(producer, TOPIC_BUILD_REQUESTS, "/kiln/test");
	int64_t began_ms = test_now_ms();
	for (int i = 0; i < 5; i++)
		assert_true(ask(barriers, 7) >= 0);
	assert_true(test_now_ms() - began_ms >= (int64_t)4 * READ_BARRIER_PAUSE_MS);
	read_barriers_free(barriers);
}

static void see(void *ctx, const rd_kafka_message_t *message)
{
	int *seen = ctx;
	if (strcmp(test_header(message, "ce_source"), "/kiln/test") != 0)
		return;
	(*seen)++;
	assert_string_equal(test_header(message, "ce_type"), "read.barrier");
	assert_int_equal(message->key_len, 0);
	assert_int_equal(message->len, strlen("{\"partition\":5}"));
	assert_memory_equal(message->payload, "{\"partition\":5}", message->len);
	assert_true(uuid_is_valid(test_header(message, "ce_id"), strlen(test_header(message, "ce_id"))));
}

static void its_record_says_what_it_is(void **state)
{
	(void)state;
	int seen = 0;
	struct read_barriers *barriers = read_barriers_new(producer, TOPIC_BUILD_RESULTS, "/kiln/test");
	assert_true(ask(barriers, 5) >= 0);
	test_read_partition(TOPIC_BUILD_RESULTS, 5, see, &seen);
	assert_true(seen >= 1);
	read_barriers_free(barriers);
}

static void nothing_is_known_when_nobody_acknowledges(void **state)
{
	(void)state;
	/* Port 1 refuses. */
	struct kafka_settings settings = test_kafka();
	settings.brokers = "127.0.0.1:1";
	struct kafka_producer_options options = {.message_timeout_ms = 900, .max_queued_messages = 100};
	struct kafka_producer *alone;
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_new(&settings, &options, &alone, &err), err);
	struct read_barriers *barriers = read_barriers_new(alone, TOPIC_BUILD_REQUESTS, "/kiln/test");
	int64_t end;
	struct read_barrier first = read_barrier_ask(barriers, 6), second = read_barrier_ask(barriers, 6);
	assert_int_equal(read_barrier_wait(barriers, &first, 0, &end, &err), 0);
	assert_int_equal(read_barrier_wait(barriers, &first, test_now_ms() + 50, &end, &err), 0);
	/* The one under way ends, and with it the wait of who has asked after it: that one fails as well. */
	assert_int_equal(read_barrier_wait(barriers, &second, test_now_ms() + WAIT_MS, &end, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_int_equal(read_barrier_wait(barriers, &first, test_now_ms() + WAIT_MS, &end, &err), -1);
	kafka_producer_free(alone, 0);
	read_barriers_free(barriers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_before_lies_below),
		cmocka_unit_test(who_asks_together_shares_records),
		cmocka_unit_test(records_are_apart),
		cmocka_unit_test(its_record_says_what_it_is),
		cmocka_unit_test(nothing_is_known_when_nobody_acknowledges),
	};
	return cmocka_run_group_tests_name("read_barrier", tests, set_up, tear_down);
}
