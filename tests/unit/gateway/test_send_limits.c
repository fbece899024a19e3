#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "api-gateway/requests/send_limits.h"
#include "common/kafka/topics.h"

#define PLACES 2
#define PATIENCE_MS 500
#define WORKERS 8
#define NOW_MS 10000
#define KEY_SIZE 16

static struct send_limits limits;

static int setup(void **state)
{
	(void)state;
	send_limits_init(&limits, PLACES, PATIENCE_MS);
	return 0;
}

/* A key that falls into this partition of the workers' events. */
static void key_on(int32_t partition, char ret_key[KEY_SIZE])
{
	int i = 0;
	do
		(void)snprintf(ret_key, KEY_SIZE, "key %d", i++);
	while (topic_partition(topic_find(TOPIC_WORKER_EVENTS), ret_key, strlen(ret_key)) != partition);
}

static bool enter(int32_t partition, int64_t now_ms, struct send_wait *ret_wait)
{
	char key[KEY_SIZE];
	key_on(partition, key);
	return send_limits_enter(&limits, TOPIC_WORKER_EVENTS, key, strlen(key), now_ms, ret_wait);
}

/* How many of WORKERS may wait there; they stay. */
static int count_let_in(int32_t partition, int64_t now_ms)
{
	int count = 0;
	struct send_wait wait;
	for (int i = 0; i < WORKERS; i++)
		count += enter(partition, now_ms, &wait);
	return count;
}

static void send(int32_t partition, enum wait_end end, int64_t now_ms)
{
	struct send_wait wait;
	assert_true(enter(partition, now_ms, &wait));
	send_limits_leave(&limits, &wait, end, now_ms);
}

TEST(as_many_as_there_are_wait_while_all_is_well)
{
	for (int32_t partition = 0; partition < 3; partition++)
		assert_int_equal(count_let_in(partition, NOW_MS), WORKERS);
}

TEST(a_partition_without_a_leader_costs_those_of_others_nothing)
{
	send(0, WAIT_MISSED, NOW_MS);
	assert_int_equal(count_let_in(0, NOW_MS), PLACES);
	assert_int_equal(count_let_in(1, NOW_MS), WORKERS);
	assert_false(send_limits_stay_away(&limits, NULL, NOW_MS));
}

TEST(the_same_partition_of_another_topic_is_another)
{
	char key[KEY_SIZE];
	struct send_wait wait;
	key_on(0, key);
	send(0, WAIT_MISSED, NOW_MS);
	assert_int_equal(count_let_in(0, NOW_MS), PLACES);
	assert_true(send_limits_enter(&limits, TOPIC_BUILD_REQUESTS, key, strlen(key), NOW_MS, &wait));
	assert_false(send_limits_stay_away(&limits, wait.partition, NOW_MS));
}

TEST(partitions_that_stay_away_share_what_may_wait_for_them)
{
	send(0, WAIT_MISSED, NOW_MS);
	send(1, WAIT_MISSED, NOW_MS);
	assert_int_equal(count_let_in(0, NOW_MS), PLACES);
	assert_int_equal(count_let_in(1, NOW_MS), 0);
}

TEST(who_leaves_gives_his_place_to_another)
{
	struct send_wait waits[PLACES], another;
	send(0, WAIT_MISSED, NOW_MS);
	for (int i = 0; i < PLACES; i++)
		assert_true(enter(0, NOW_MS, &waits[i]));
	assert_false(enter(0, NOW_MS, &another));
	send_limits_leave(&limits, &waits[0], WAIT_MISSED, NOW_MS);
	assert_true(enter(0, NOW_MS, &another));
}

TEST(while_kafka_is_away_few_try_what_is_left)
{
	send(0, WAIT_MISSED, NOW_MS);
	send(1, WAIT_MISSED, NOW_MS);
	assert_true(send_limits_stay_away(&limits, NULL, NOW_MS));
	assert_int_equal(count_let_in(2, NOW_MS), PLACES);
	assert_int_equal(count_let_in(3, NOW_MS), 0);
}

TEST(those_who_wait_in_vain_keep_nobody_from_trying_what_is_left)
{
	send(0, WAIT_MISSED, NOW_MS);
	send(1, WAIT_MISSED, NOW_MS);
	assert_int_equal(count_let_in(0, NOW_MS), PLACES);
	assert_int_equal(count_let_in(2, NOW_MS), PLACES);
}

TEST(one_that_acknowledges_shows_that_kafka_is_there)
{
	struct send_wait wait;
	send(0, WAIT_MISSED, NOW_MS);
	send(1, WAIT_MISSED, NOW_MS);
	assert_true(enter(2, NOW_MS, &wait));
	send_limits_leave(&limits, &wait, WAIT_CAME, NOW_MS);
	assert_false(send_limits_stay_away(&limits, NULL, NOW_MS));
	assert_int_equal(count_let_in(3, NOW_MS + 1), WORKERS);
	assert_int_equal(count_let_in(0, NOW_MS + 1), PLACES);
}

TEST(of_a_record_whose_partition_is_known_only_that_one_counts)
{
	struct send_wait wait;
	send(0, WAIT_MISSED, NOW_MS);
	assert_true(enter(0, NOW_MS, &wait));
	assert_true(send_limits_stay_away(&limits, wait.partition, NOW_MS));
	assert_true(enter(1, NOW_MS, &wait));
	assert_false(send_limits_stay_away(&limits, wait.partition, NOW_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_many_as_there_are_wait_while_all_is_well, setup),
		cmocka_unit_test_setup(a_partition_without_a_leader_costs_those_of_others_nothing, setup),
		cmocka_unit_test_setup(the_same_partition_of_another_topic_is_another, setup),
		cmocka_unit_test_setup(partitions_that_stay_away_share_what_may_wait_for_them, setup),
		cmocka_unit_test_setup(who_leaves_gives_his_place_to_another, setup),
		cmocka_unit_test_setup(while_kafka_is_away_few_try_what_is_left, setup),
		cmocka_unit_test_setup(those_who_wait_in_vain_keep_nobody_from_trying_what_is_left, setup),
		cmocka_unit_test_setup(one_that_acknowledges_shows_that_kafka_is_there, setup),
		cmocka_unit_test_setup(of_a_record_whose_partition_is_known_only_that_one_counts, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
