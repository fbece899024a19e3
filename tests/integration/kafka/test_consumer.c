/* The two ways to read, against a real Kafka. */
#include "services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

#define PARTITIONS 4

static char *topic;
static struct kafka_producer *producer;

static int set_up(void **state)
{
	(void)state;
	topic = test_name("consumer");
	test_topic(topic, PARTITIONS, NULL);
	producer = test_producer();
	char data[16];
	for (int i = 0; i < 20; i++) {
		(void)snprintf(data, sizeof(data), "%d", i);
		test_send(producer, topic, i % 2, "k", data, "test", data);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kafka_producer_free(producer, 1000);
	free(topic);
	return 0;
}

static rd_kafka_message_t *next(struct kafka_consumer *consumer, int within_ms)
{
	struct error err = ERROR_INIT;
	int64_t until_ms = test_now_ms() + within_ms;
	rd_kafka_message_t *message = NULL;
	while (message == NULL && test_now_ms() < until_ms) {
		message = kafka_consumer_poll(consumer, 100, &err);
		if (err.kind != ERR_NONE)
			fail_msg("%s", err.message);
	}
	return message;
}

static int number_of(const rd_kafka_message_t *message)
{
	char data[16];
	(void)snprintf(data, sizeof(data), "%.*s", (int)message->len, (const char *)message->payload);
	return (int)strtol(data, NULL, 10);
}

static struct kafka_consumer *tail(int32_t partition, int64_t offset)
{
	struct kafka_settings settings = test_kafka();
	const struct kafka_position position = {.topic = topic, .partition = partition, .offset = offset};
	struct kafka_consumer *consumer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_tail_new(&settings, &position, 1, &consumer, &err), err);
	return consumer;
}

static void a_tail_begins_where_it_is_told(void **state)
{
	(void)state;
	struct kafka_consumer *consumer = tail(1, 3);
	for (int i = 3; i < 10; i++) {
		rd_kafka_message_t *message = next(consumer, 60000);
		assert_non_null(message);
		assert_int_equal(message->offset, i);
		assert_int_equal(number_of(message), 2 * i + 1);
		rd_kafka_message_destroy(message);
	}
	kafka_consumer_free(consumer);
}

static void a_tail_from_the_end_sees_only_what_comes(void **state)
{
	(void)state;
	test_send(producer, topic, 2, "k", "id", "test", "76");
	struct kafka_consumer *consumer = tail(2, KAFKA_OFFSET_END);
	/* The end is looked up once it polls, and nothing tells when: a record that is sent before is not seen either. */
	rd_kafka_message_t *message = next(consumer, 500);
	assert_null(message);
	int64_t until_ms = test_now_ms() + 60000;
	for (int i = 77; message == NULL && test_now_ms() < until_ms; i++) {
		char data[16];
		(void)snprintf(data, sizeof(data), "%d", i);
		test_send(producer, topic, 2, "k", "id", "test", data);
		message = next(consumer, 500);
	}
	if (message == NULL) {
		fail_msg("nothing came"); /* jumps */
		return;
	}
	assert_true(number_of(message) >= 77);
	rd_kafka_message_destroy(message);
	kafka_consumer_free(consumer);
}

static void an_offset_that_is_gone_is_not_found(void **state)
{
	(void)state;
	char *other = test_name("gone");
	test_topic(other, 1, NULL);
	for (int i = 0; i < 5; i++)
		test_send(producer, other, 0, "k", "id", "test", "1");
	test_delete_records(other, 0, 3);
	struct kafka_settings settings = test_kafka();
	const struct kafka_position position = {.topic = other, .partition = 0, .offset = 1};
	struct kafka_consumer *consumer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_tail_new(&settings, &position, 1, &consumer, &err), err);
	int64_t until_ms = test_now_ms() + 60000;
	while (err.kind == ERR_NONE && test_now_ms() < until_ms)
		assert_null(kafka_consumer_poll(consumer, 100, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	int64_t low;
	int64_t high;
	assert_becomes(kafka_watermarks(consumer, other, 0, 5000, &low, &high, &err) == 0, 60000);
	assert_int_equal(low, 3);
	assert_int_equal(high, 5);
	kafka_consumer_free(consumer);
	free(other);
}

static void watermarks_of_many_come_in_their_order(void **state)
{
	(void)state;
	struct kafka_consumer *consumer = tail(3, 0);
	const struct kafka_position positions[] = {
		{.topic = topic, .partition = 3}, {.topic = topic, .partition = 1}, {.topic = topic, .partition = 0}};
	int64_t lows[3];
	int64_t highs[3];
	struct error err = ERROR_INIT;
	/* On a busy machine a new handle's first answer may be that it does not know a partition yet. */
	assert_becomes(kafka_watermarks_of(consumer, positions, 3, 5000, lows, highs, &err) == 0, 60000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lows[i], 0);
	assert_int_equal(highs[0], 0);
	assert_int_equal(highs[1], 10);
	assert_int_equal(highs[2], 10);
	const struct kafka_position wrong = {.topic = topic, .partition = 99};
	assert_int_equal(kafka_watermarks_of(consumer, &wrong, 1, 1000, lows, highs, &err), -1);
	kafka_consumer_free(consumer);
}

static void an_offset_is_found_by_time(void **state)
{
	(void)state;
	struct kafka_consumer *consumer = tail(3, 0);
	struct error err = ERROR_INIT;
	int64_t offset;
	assert_becomes(kafka_offset_at(consumer, topic, 0, 0, 5000, &offset, &err) == 0, 60000);
	assert_int_equal(offset, 0);
	assert_becomes(kafka_offset_at(consumer, topic, 0, INT64_C(4102444800000), 5000, &offset, &err) == 0, 60000);
	assert_int_equal(offset, 10);
	assert_becomes(kafka_cluster_id(consumer, 5000) != NULL, 60000);
	assert_becomes(kafka_consumer_connected(consumer), 60000);
	kafka_consumer_free(consumer);
}

/* A group member that counts. */
struct member {
	struct kafka_consumer *consumer;
	int owned, taken_calls, refuse;
	int64_t start, stop_partition;
};

static int on_taken(void *ctx, struct kafka_position *positions, size_t count)
{
	struct member *member = ctx;
	member->taken_calls++;
	if (member->refuse > 0) {
		member->refuse--;
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (positions[i].partition == member->stop_partition)
			positions[i].offset = KAFKA_OFFSET_STOP;
		else
			positions[i].offset = positions[i].partition == 0 ? member->start : 0;
	}
	member->owned = (int)count;
	return 0;
}

static void on_lost(void *ctx, const struct kafka_position *positions, size_t count)
{
	struct member *member = ctx;
	(void)positions;
	assert_true(count <= PARTITIONS);
	member->owned = 0;
}

static void join(struct member *member, const char *group)
{
	struct kafka_settings settings = test_kafka();
	const struct kafka_group_callbacks callbacks = {.taken = on_taken, .lost = on_lost, .ctx = member};
	struct error err = ERROR_INIT;
	assert_ok(kafka_group_new(&settings, group, (const char *const[]){topic}, 1, &callbacks, &member->consumer, &err),
			  err);
}

static void turn(struct member *member)
{
	struct error err = ERROR_INIT;
	rd_kafka_message_t *message = kafka_consumer_poll(member->consumer, 20, &err);
	if (message != NULL)
		rd_kafka_message_destroy(message);
}

static bool turn_until(struct member *a, int a_owns, struct member *b, int b_owns)
{
	turn(a);
	if (b != NULL)
		turn(b);
	return a->owned == a_owns && (b == NULL || b->owned == b_owns);
}

static void two_members_share_the_partitions_and_one_inherits(void **state)
{
	(void)state;
	char *group = test_name("group");
	struct member a = {.start = 0, .stop_partition = -1};
	struct member b = {.start = 0, .stop_partition = -1};
	join(&a, group);
	assert_becomes(turn_until(&a, PARTITIONS, NULL, 0), 60000);
	join(&b, group);
	assert_becomes(turn_until(&a, PARTITIONS / 2, &b, PARTITIONS / 2), 60000);
	assert_true(kafka_group_joined(b.consumer));
	kafka_consumer_free(a.consumer);
	assert_becomes(turn_until(&b, PARTITIONS, NULL, 0), 60000);
	kafka_consumer_free(b.consumer);
	free(group);
}

static void a_member_asks_again_when_it_could_not_say(void **state)
{
	(void)state;
	char *group = test_name("group");
	struct member a = {.start = 9, .stop_partition = 1, .refuse = 1};
	join(&a, group);
	rd_kafka_message_t *message = next(a.consumer, 60000);
	assert_int_equal(a.taken_calls, 2);
	/* Partition 1 is left unread. */
	assert_int_equal(message->partition, 0);
	assert_int_equal(message->offset, 9);
	rd_kafka_message_destroy(message);
	/* Only the record of partition 2, if that was written before. */
	while ((message = next(a.consumer, 500)) != NULL) {
		assert_int_not_equal(message->partition, 1);
		rd_kafka_message_destroy(message);
	}
	kafka_consumer_free(a.consumer);
	free(group);
}

static void a_retake_reads_again_from_the_new_offsets(void **state)
{
	(void)state;
	char *group = test_name("group");
	struct member a = {.start = 4, .stop_partition = 1};
	join(&a, group);
	rd_kafka_message_t *message = next(a.consumer, 60000);
	assert_int_equal(message->offset, 4);
	rd_kafka_message_destroy(message);
	a.start = 2;
	kafka_group_retake(a.consumer, 50);
	message = next(a.consumer, 60000);
	assert_int_equal(message->offset, 2);
	rd_kafka_message_destroy(message);
	assert_int_equal(a.taken_calls, 2);
	kafka_consumer_free(a.consumer);
	free(group);
}

static void a_wake_up_ends_a_poll(void **state)
{
	(void)state;
	struct kafka_consumer *consumer = tail(3, KAFKA_OFFSET_END);
	struct error err = ERROR_INIT;
	assert_null(next(consumer, 500));
	int64_t began_ms = test_now_ms();
	kafka_consumer_wake(consumer);
	assert_null(kafka_consumer_poll(consumer, 60000, &err));
	assert_true(test_now_ms() - began_ms < 50000);
	kafka_consumer_free(consumer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tail_begins_where_it_is_told),
		cmocka_unit_test(an_offset_that_is_gone_is_not_found),
		cmocka_unit_test(watermarks_of_many_come_in_their_order),
		cmocka_unit_test(an_offset_is_found_by_time),
		cmocka_unit_test(two_members_share_the_partitions_and_one_inherits),
		cmocka_unit_test(a_member_asks_again_when_it_could_not_say),
		cmocka_unit_test(a_retake_reads_again_from_the_new_offsets),
		cmocka_unit_test(a_tail_from_the_end_sees_only_what_comes),
		cmocka_unit_test(a_wake_up_ends_a_poll),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
