/* Bursts that many threads fill at once, before a producer of a real Kafka. */
#include "bursting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define MESSAGES 1250 /* of each thread */
#define REFUSED_EVERY 5

struct sender {
	struct fixture *fixture;
	bool some_refused;
	int first; /* of the numbers of its messages */
	int taken;
	struct fate fates[MESSAGES];
};

static void *run_sender(void *arg)
{
	struct sender *sender = arg;
	for (int i = 0; i < MESSAGES; i++) {
		struct fate *fate = &sender->fates[i];
		(void)snprintf(fate->key, sizeof(fate->key), "%d", i);
		(void)snprintf(fate->data, sizeof(fate->data), "%d", sender->first + i);
		struct kafka_message message = message_of(sender->fixture, fate->data);
		message.partition = -1;
		message.key = fate->key;
		message.key_len = strlen(fate->key);
		if (sender->some_refused && i % REFUSED_EVERY == 0)
			message.partition = NO_PARTITION;
		struct error err = ERROR_INIT;
		sender->taken += give(sender->fixture->bursts, fate, &message, &err) == 0;
	}
	return NULL;
}

static void start_senders(struct fixture *fixture, bool some_refused, struct sender *senders, pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++) {
		senders[i].fixture = fixture;
		senders[i].some_refused = some_refused;
		senders[i].first = i * MESSAGES;
		assert_int_equal(pthread_create(&threads[i], NULL, run_sender, &senders[i]), 0);
	}
}

/* Until each message that was taken has a report; a second one is seen by who looks at the fates. */
static void join_senders(struct sender *senders, const pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_becomes(reports_of(senders[i].fates, MESSAGES) >= senders[i].taken, 60000);
}

static void send_all(struct fixture *fixture, bool some_refused, struct sender *senders)
{
	pthread_t threads[THREADS];
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	start_senders(fixture, some_refused, senders, threads);
	join_senders(senders, threads);
	close_bursts(fixture);
}

static void count_number(void *ctx, const rd_kafka_message_t *message)
{
	int *times = ctx;
	char number[16];
	(void)snprintf(number, sizeof(number), "%.*s", (int)message->len, (const char *)message->payload);
	times[strtol(number, NULL, 10)]++;
}

static void many_threads_lose_and_double_nothing(void **state)
{
	static struct sender senders[THREADS];
	static int times[THREADS * MESSAGES];
	struct fixture *fixture = *state;
	send_all(fixture, false, senders);
	for (int i = 0; i < THREADS; i++)
		assert_fates(senders[i].fates, MESSAGES, ERR_NONE);
	printf("# %d messages in %d requests\n", THREADS * MESSAGES, requests);
	for (int i = 0; i < 3; i++)
		test_read_partition(fixture->topic, i, count_number, times);
	for (int i = 0; i < THREADS * MESSAGES; i++)
		assert_int_equal(times[i], 1);
}

static void what_many_threads_have_refused_takes_no_other_with_it(void **state)
{
	static struct sender senders[THREADS];
	send_all(*state, true, senders);
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < MESSAGES; k++) {
			struct fate *fate = &senders[i].fates[k];
			if (k % REFUSED_EVERY != 0)
				assert_fates(fate, 1, ERR_NONE);
			else if (fate->reports > 0) /* else the call has said it */
				assert_fates(fate, 1, ERR_INTERNAL);
		}
	}
}

static void every_message_has_one_report_also_across_a_fatal_error(void **state)
{
	static struct sender senders[THREADS];
	struct fixture *fixture = *state;
	pthread_t threads[THREADS];
	open_bursts(fixture, NULL, PATIENT_MS, &one);
	uint64_t generation = kafka_producer_generation(fixture->producer);
	start_senders(fixture, false, senders, threads);
	kafka_producer_break(fixture->producer);
	join_senders(senders, threads);
	assert_becomes(kafka_producer_generation(fixture->producer) == generation + 1, 60000);
	close_bursts(fixture);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(reports_of(senders[i].fates, MESSAGES), senders[i].taken);
		for (int k = 0; k < MESSAGES; k++)
			assert_true(senders[i].fates[k].reports <= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_threads_lose_and_double_nothing),
		TEST(what_many_threads_have_refused_takes_no_other_with_it),
		TEST(every_message_has_one_report_also_across_a_fatal_error),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
