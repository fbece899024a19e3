/* The producer against a real Kafka; a dead or frozen broker is a port of our own. */
#include "services.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/thread.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"

static char *topic;

static int set_up(void **state)
{
	(void)state;
	topic = test_name("producer");
	test_topic(topic, 3, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(topic);
	return 0;
}

/* What came of the messages. */
struct fates {
	_Atomic int64_t acknowledged, unavailable, unknown, other;
	_Atomic int64_t last_partition, last_offset;
};

static void on_done(void *ctx, const struct kafka_delivery *delivery)
{
	struct fates *fates = ctx;
	if (delivery->outcome == ERR_NONE) {
		fates->last_partition = delivery->partition;
		fates->last_offset = delivery->offset;
		fates->acknowledged++;
	} else if (delivery->outcome == ERR_UNAVAILABLE) {
		fates->unavailable++;
	} else if (delivery->outcome == ERR_UNKNOWN) {
		fates->unknown++;
	} else {
		fates->other++;
	}
}

static int64_t all(const struct fates *fates)
{
	return fates->acknowledged + fates->unavailable + fates->unknown + fates->other;
}

static const struct cloudevent event = {
	.id = "id", .type = "test", .source = "/kiln/test", .subject = "s", .sequence = 3};

static struct kafka_message message_of(const char *to, const char *key, const char *data)
{
	return (struct kafka_message){.topic = to,
								  .partition = -1,
								  .key = key,
								  .key_len = strlen(key),
								  .data = data,
								  .data_len = strlen(data),
								  .event = &event};
}

static struct kafka_producer *open_producer(const char *brokers, int message_timeout_ms, int max_queued)
{
	struct kafka_settings settings = test_kafka();
	if (brokers != NULL)
		settings.brokers = brokers;
	const struct kafka_producer_options options = {
		.message_timeout_ms = message_timeout_ms, .idempotent = true, .max_queued_messages = max_queued};
	struct kafka_producer *producer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_new(&settings, &options, &producer, &err), err);
	return producer;
}

struct seen {
	int count;
	char key[64], data[64], id[64], sequence[16];
};

static void see(void *ctx, const rd_kafka_message_t *message)
{
	struct seen *seen = ctx;
	seen->count++;
	(void)snprintf(seen->key, sizeof(seen->key), "%.*s", (int)message->key_len, (const char *)message->key);
	(void)snprintf(seen->data, sizeof(seen->data), "%.*s", (int)message->len, (const char *)message->payload);
	(void)snprintf(seen->id, sizeof(seen->id), "%s", test_header(message, "ce_id"));
	(void)snprintf(seen->sequence, sizeof(seen->sequence), "%s", test_header(message, "ce_sequence"));
}

static void a_message_arrives_in_the_partition_of_its_key(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer(NULL, 0, 0);
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 60000, &err), err);
	struct fates fates = {0};
	struct kafka_message message = message_of(topic, "some-key", "{\"a\":1}");
	assert_ok(kafka_produce(producer, &message, on_done, &fates, &err), err);
	assert_becomes(all(&fates) == 1, 60000);
	const struct topic three = {.name = "", .partitions = 3};
	assert_int_equal(fates.last_partition, topic_partition(&three, "some-key", 8));
	struct seen seen = {0};
	test_read_partition(topic, (int32_t)fates.last_partition, see, &seen);
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.key, "some-key");
	assert_string_equal(seen.data, "{\"a\":1}");
	assert_string_equal(seen.id, "id");
	assert_string_equal(seen.sequence, "0000000003");
	assert_true(kafka_producer_ready(producer, NULL));
	kafka_producer_free(producer, 1000);
}

static void a_warm_producer_is_fast_at_once(void **state)
{
	(void)state;
	/* A cold one never is: it takes 1 s and more. A warm one may have met a busy machine. */
	bool fast = false;
	for (int i = 0; i < 10 && !fast; i++) {
		struct kafka_producer *producer = open_producer(NULL, 0, 0);
		struct error err = ERROR_INIT;
		assert_ok(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 60000, &err), err);
		int64_t began_ms = test_now_ms();
		test_send(producer, topic, 0, "k", "id", "test", "{}");
		fast = test_now_ms() - began_ms < 700;
		kafka_producer_free(producer, 1000);
	}
	assert_true(fast);
}

static void nothing_is_written_when_no_broker_answers(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer("127.0.0.1:1", 1000, 0);
	struct error err = ERROR_INIT;
	struct fates fates = {0};
	struct kafka_message message = message_of(topic, "k", "{}");
	int64_t began_ms = test_now_ms();
	assert_ok(kafka_produce(producer, &message, on_done, &fates, &err), err);
	assert_becomes(all(&fates) == 1, 60000);
	printf("# message.timeout.ms 1000 took %d ms\n", (int)(test_now_ms() - began_ms));
	assert_int_equal(fates.unavailable, 1);
	assert_false(kafka_producer_ready(producer, NULL));
	assert_int_equal(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 100, &err), -1);
	kafka_producer_free(producer, 100);
}

static void the_queue_is_bounded(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer("127.0.0.1:1", 0, 10);
	struct error err = ERROR_INIT;
	struct fates fates = {0};
	struct kafka_message message = message_of(topic, "k", "{}");
	for (int i = 0; i < 10; i++)
		assert_ok(kafka_produce(producer, &message, on_done, &fates, &err), err);
	assert_int_equal(kafka_produce(producer, &message, on_done, &fates, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	/* What waits is reported when the producer ends. */
	kafka_producer_free(producer, 100);
	assert_int_equal(all(&fates), 10);
	assert_int_equal(fates.unavailable, 10);
}

static void too_large_is_refused_at_once(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer(NULL, 0, 0);
	struct error err = ERROR_INIT;
	struct kafka_message message = message_of(topic, "k", "");
	message.data_len = KAFKA_MAX_MESSAGE_BYTES + 1;
	char *data = xcalloc(1, message.data_len);
	message.data = data;
	assert_int_equal(kafka_produce(producer, &message, NULL, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	free(data);
	kafka_producer_free(producer, 100);
}

static void a_partition_that_is_not_there_is_not_the_messages_fault(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer(NULL, 0, 0);
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 60000, &err), err);
	struct kafka_message message = message_of(topic, "k", "{}");
	message.partition = 3;
	assert_int_equal(kafka_produce(producer, &message, NULL, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	kafka_producer_free(producer, 100);
}

static void an_answer_that_does_not_come_leaves_the_fate_unknown(void **state)
{
	(void)state;
	struct kafka_producer *producer = open_producer(NULL, 1000, 0);
	struct error err = ERROR_INIT;
	struct fates fates = {0};
	struct kafka_message message = message_of(topic, "k", "{}");
	assert_ok(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 60000, &err), err);
	/* Where librdkafka did not get to send it within its second, nothing was written, and it says so: then again. */
	for (int round = 0; round < 20 && fates.unknown == 0; round++) {
		/* It goes on by itself, with a new handle if the old one did not survive the round before. */
		assert_becomes(kafka_produce_wait(producer, &message, test_now_ms() + 2000, &err) == 0, 60000);
		int64_t reported = all(&fates);
		test_freeze_kafka();
		int64_t began_ms = test_now_ms();
		int taken = kafka_produce(producer, &message, on_done, &fates, &err);
		while (all(&fates) == reported && test_now_ms() - began_ms < 60000)
			test_pause();
		int64_t took_ms = test_now_ms() - began_ms;
		bool ready = kafka_producer_ready(producer, NULL);
		test_thaw_kafka();
		printf("# message.timeout.ms 1000 with a frozen broker took %d ms\n", (int)took_ms);
		assert_int_equal(taken, 0);
		assert_int_equal(all(&fates), reported + 1);
		assert_false(ready);
	}
	assert_int_equal(fates.unknown, 1);
	assert_int_equal(fates.acknowledged + fates.other, 0);
	assert_becomes(kafka_produce_wait(producer, &message, test_now_ms() + 2000, &err) == 0, 60000);
	assert_becomes(kafka_producer_ready(producer, NULL), 60000);
	kafka_producer_free(producer, 1000);
}

static void replace_handle(const char *to)
{
	struct kafka_producer *producer = open_producer(NULL, 0, 0);
	struct error err = ERROR_INIT;
	test_send(producer, to, 1, "k", "before", "test", "{}");
	uint64_t generation = kafka_producer_generation(producer);
	struct fates fates = {0};
	struct kafka_message message = message_of(to, "k", "{}");
	kafka_producer_break(producer);
	/* Refused or failed, one report each: none is lost. */
	int taken = 0;
	for (int i = 0; i < 1000; i++)
		taken += kafka_produce(producer, &message, on_done, &fates, &err) == 0;
	assert_becomes(kafka_producer_generation(producer) == generation + 1, 60000);
	assert_becomes(all(&fates) == taken, 60000);
	test_send(producer, to, 1, "k", "after", "test", "{}");
	/* What is tied to the old handle does not pass on the new one. */
	message.generation = generation;
	assert_int_equal(kafka_produce(producer, &message, on_done, &fates, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	message.generation = kafka_producer_generation(producer);
	assert_ok(kafka_produce(producer, &message, on_done, &fates, &err), err);
	assert_becomes(all(&fates) == taken + 1, 60000);
	kafka_producer_free(producer, 1000);
}

static void a_fatal_error_replaces_the_handle(void **state)
{
	(void)state;
	replace_handle(topic);
}

/* The producer keeps librdkafka's handles of these. */
static void a_fatal_error_replaces_the_handles_of_our_topics(void **state)
{
	(void)state;
	test_topic(TOPIC_DEAD_LETTERS, 3, NULL);
	replace_handle(TOPIC_DEAD_LETTERS);
}

/* How many reports had been given when it was called last. */
struct series {
	struct fates fates;
	_Atomic int64_t told;
};

static void on_reported(void *ctx)
{
	struct series *series = ctx;
	series->told = all(&series->fates);
}

static void a_series_of_reports_has_an_end(void **state)
{
	(void)state;
	struct series series = {0};
	const struct kafka_settings settings = test_kafka();
	const struct kafka_producer_options options = {.reported = on_reported, .reported_ctx = &series};
	struct kafka_producer *producer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_new(&settings, &options, &producer, &err), err);
	struct kafka_message message = message_of(topic, "k", "{}");
	for (int i = 0; i < 3; i++)
		assert_ok(kafka_produce(producer, &message, on_done, &series.fates, &err), err);
	assert_becomes(series.told == 3, 60000);
	kafka_producer_free(producer, 1000);
}

struct hammer {
	struct kafka_producer *producer;
	struct fates fates;
	int64_t taken;
};

static void *hammer(void *arg)
{
	struct hammer *hammer = arg;
	struct kafka_message message = message_of(topic, "some-key-of-usual-length", "{\"some\":\"body\"}");
	struct error err = ERROR_INIT;
	for (int i = 0; i < 20000; i++)
		hammer->taken += kafka_produce(hammer->producer, &message, on_done, &hammer->fates, &err) == 0;
	return NULL;
}

static void every_message_has_one_report_also_across_a_fatal_error(void **state)
{
	(void)state;
	struct hammer hammers[3] = {0};
	pthread_t threads[3];
	struct kafka_producer *producer = open_producer(NULL, 0, 0);
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_warm_up(producer, (const char *const[]){topic}, 1, test_now_ms() + 60000, &err), err);
	int64_t began_ms = test_now_ms();
	for (int i = 0; i < 3; i++) {
		hammers[i].producer = producer;
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
	}
	kafka_producer_break(producer);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_becomes(all(&hammers[i].fates) == hammers[i].taken, 60000);
	printf("# %d messages in %d ms\n", (int)(hammers[0].taken + hammers[1].taken + hammers[2].taken),
		   (int)(test_now_ms() - began_ms));
	kafka_producer_free(producer, 1000);
}

/* How many threads of this process wait for their turn. */
static int unhurried_threads(void)
{
	int count = 0;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
		pid_t id = (pid_t)strtol(task->d_name, NULL, 10);
		count += id > 0 && sched_getscheduler(id) == SCHED_BATCH;
	}
	(void)closedir(tasks);
	return count;
}

static void an_unhurried_producers_threads_do_not_preempt(void **state)
{
	(void)state;
	const struct kafka_settings kafka = test_kafka();
	const struct kafka_producer_options options = {.message_timeout_ms = 10000, .unhurried = true};
	struct kafka_producer *producer;
	struct error err = ERROR_INIT;
	bool might = thread_may_preempt(true); /* whatever this test was started with */
	assert_int_equal(unhurried_threads(), 0);
	assert_ok(kafka_producer_new(&kafka, &options, &producer, &err), err);
	int own = sched_getscheduler(0);
	/* That of the reports, librdkafka's main one and one for each broker at least. */
	assert_becomes(unhurried_threads() >= 3, 60000);
	kafka_producer_free(producer, 1000);
	(void)thread_may_preempt(might);
	assert_int_equal(own, SCHED_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_in_the_partition_of_its_key),
		cmocka_unit_test(a_warm_producer_is_fast_at_once),
		cmocka_unit_test(nothing_is_written_when_no_broker_answers),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(too_large_is_refused_at_once),
		cmocka_unit_test(a_partition_that_is_not_there_is_not_the_messages_fault),
		cmocka_unit_test(an_answer_that_does_not_come_leaves_the_fate_unknown),
		cmocka_unit_test(a_fatal_error_replaces_the_handle),
		cmocka_unit_test(a_fatal_error_replaces_the_handles_of_our_topics),
		cmocka_unit_test(a_series_of_reports_has_an_end),
		cmocka_unit_test(every_message_has_one_report_also_across_a_fatal_error),
		cmocka_unit_test(an_unhurried_producers_threads_do_not_preempt),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
