/* The relay while a partition of the events has no leader, or one that takes nothing: a mock cluster of librdkafka's,
 * which can be told so, and a real Postgres. */
#include "relaying.h"
#include "services.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"

#define STUCK 5 /* a partition, and the shard of the same number */
#define KEYS 60 /* some of each partition */
#define LONG_MS 20000
#define SLOW_MS 1500 /* more than a round waits */
#define MANY 1000    /* answers to the tries of more than a minute */
#define PRODUCE_KEY 0

enum { ITS_BROKER = 1, OTHER_BROKER };

static rd_kafka_t *host; /* of the mock cluster's thread */
static rd_kafka_mock_cluster_t *cluster;

static void set_leader(int partition, int broker)
{
	assert_int_equal(rd_kafka_mock_partition_set_leader(cluster, TOPIC_BUILD_EVENTS, partition, broker),
					 RD_KAFKA_RESP_ERR_NO_ERROR);
}

static int set_up_all(void **state)
{
	char text[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text)), RD_KAFKA_CONF_OK);
	host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	assert_non_null(host);
	cluster = rd_kafka_mock_cluster_new(host, 2);
	assert_non_null(cluster);
	assert_int_equal(rd_kafka_mock_topic_create(cluster, TOPIC_BUILD_EVENTS, 12, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	for (int partition = 0; partition < 12; partition++)
		set_leader(partition, ITS_BROKER);
	assert_int_equal(setenv("KILN_KAFKA_BROKERS", rd_kafka_mock_cluster_bootstraps(cluster), 1), 0);
	return relaying_set_up_without_topic(state);
}

static int tear_down_all(void **state)
{
	int result = relaying_tear_down(state);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(host);
	return result;
}

static int end(void **state)
{
	set_leader(STUCK, ITS_BROKER);
	assert_int_equal(rd_kafka_mock_broker_set_rtt(cluster, OTHER_BROKER, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_broker_set_up(cluster, OTHER_BROKER), RD_KAFKA_RESP_ERR_NO_ERROR);
	return relaying_end(state);
}

static int64_t stuck_rows(void)
{
	return test_sql_int(&database, "SELECT count(*) FROM outbox WHERE shard = 5");
}

static int64_t other_rows(void)
{
	return test_sql_int(&database, "SELECT count(*) FROM outbox WHERE shard <> 5");
}

static int stuck_keys(void)
{
	int found = 0;
	for (int i = 0; i < KEYS; i++) {
		char *key = xasprintf("%s-%d", run_id, i);
		found += topic_partition(topic_find(TOPIC_BUILD_EVENTS), key, strlen(key)) == STUCK;
		free(key);
	}
	return found;
}

/* Each round of this writes three events of each key, and sees those of other partitions go. */
static void others_go_on(struct outbox_relay *relay, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		write_events(KEYS, 1 + 3 * round, 3);
		outbox_relay_wake(relay);
		assert_becomes(other_rows() == 0, LONG_MS);
	}
	assert_int_equal(stuck_rows(), 3 * rounds * stuck_keys());
}

static void others_go_on_while_one_partition_has_no_leader(void **state)
{
	(void)state;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, -1);
	others_go_on(relay, 5);
	outbox_relay_free(relay);
}

static void what_waited_for_a_leader_is_published_once_and_in_order(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, -1);
	others_go_on(relay, 3);
	set_leader(STUCK, ITS_BROKER);
	assert_becomes(waiting_rows() == 0, LONG_MS);
	check_order(KEYS, 9, &repeats);
	assert_int_equal(repeats, 0);
	outbox_relay_free(relay);
}

static void a_round_full_of_what_waits_hides_nothing_behind_it(void **state)
{
	(void)state;
	set_leader(STUCK, -1);
	write_events(KEYS, 1, 10);
	test_sql(&database, "UPDATE outbox SET id = DEFAULT WHERE shard <> 5");
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 7);
	assert_becomes(other_rows() == 0, LONG_MS);
	assert_int_equal(stuck_rows(), 10 * stuck_keys());
	outbox_relay_free(relay);
}

static void a_relay_that_stops_while_a_partition_has_no_leader_loses_nothing(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, -1);
	others_go_on(relay, 2);
	outbox_relay_free(relay);
	relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, ITS_BROKER);
	assert_becomes(waiting_rows() == 0, LONG_MS);
	check_order(KEYS, 6, &repeats);
	outbox_relay_free(relay);
}

static void a_fatal_producer_error_loses_nothing_that_waits_for_a_leader(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, -1);
	others_go_on(relay, 2);
	uint64_t generation = kafka_producer_generation(producer);
	kafka_producer_break(producer);
	assert_becomes(kafka_producer_generation(producer) > generation, LONG_MS);
	set_leader(STUCK, ITS_BROKER);
	assert_becomes(waiting_rows() == 0, LONG_MS);
	check_order(KEYS, 6, &repeats);
	outbox_relay_free(relay);
}

static void others_go_on_while_the_leader_of_one_is_away(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, OTHER_BROKER);
	assert_int_equal(rd_kafka_mock_broker_set_down(cluster, OTHER_BROKER), RD_KAFKA_RESP_ERR_NO_ERROR);
	others_go_on(relay, 3);
	assert_int_equal(rd_kafka_mock_broker_set_up(cluster, OTHER_BROKER), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_becomes(waiting_rows() == 0, LONG_MS);
	check_order(KEYS, 9, &repeats);
	outbox_relay_free(relay);
}

static void others_go_on_while_one_has_too_few_replicas_in_sync(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, OTHER_BROKER);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(rd_kafka_mock_broker_push_request_error_rtts(cluster, OTHER_BROKER, PRODUCE_KEY, 1,
																	  RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 0),
						 RD_KAFKA_RESP_ERR_NO_ERROR);
	others_go_on(relay, 3);
	/* It is looked for when its leader goes. */
	set_leader(STUCK, ITS_BROKER);
	assert_int_equal(rd_kafka_mock_broker_set_down(cluster, OTHER_BROKER), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_becomes(waiting_rows() == 0, LONG_MS);
	assert_int_equal(rd_kafka_mock_broker_set_up(cluster, OTHER_BROKER), RD_KAFKA_RESP_ERR_NO_ERROR);
	check_order(KEYS, 9, &repeats);
	outbox_relay_free(relay);
}

static void what_is_only_slow_is_not_repeated(void **state)
{
	(void)state;
	int repeats;
	struct outbox_relay *relay = test_relay(ALL_SHARDS, 1000);
	set_leader(STUCK, OTHER_BROKER);
	assert_int_equal(rd_kafka_mock_broker_set_rtt(cluster, OTHER_BROKER, SLOW_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
	for (int round = 0; round < 3; round++) {
		write_events(KEYS, 1 + 3 * round, 3);
		outbox_relay_wake(relay);
		assert_becomes(waiting_rows() == 0, LONG_MS);
	}
	assert_int_equal(rd_kafka_mock_broker_set_rtt(cluster, OTHER_BROKER, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
	check_order(KEYS, 9, &repeats);
	assert_int_equal(repeats, 0);
	outbox_relay_free(relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(others_go_on_while_one_partition_has_no_leader, relaying_begin, end),
		cmocka_unit_test_setup_teardown(what_waited_for_a_leader_is_published_once_and_in_order, relaying_begin, end),
		cmocka_unit_test_setup_teardown(a_round_full_of_what_waits_hides_nothing_behind_it, relaying_begin, end),
		cmocka_unit_test_setup_teardown(a_relay_that_stops_while_a_partition_has_no_leader_loses_nothing,
										relaying_begin, end),
		cmocka_unit_test_setup_teardown(a_fatal_producer_error_loses_nothing_that_waits_for_a_leader, relaying_begin,
										end),
		cmocka_unit_test_setup_teardown(others_go_on_while_the_leader_of_one_is_away, relaying_begin, end),
		cmocka_unit_test_setup_teardown(what_is_only_slow_is_not_repeated, relaying_begin, end),
		/* The last: the other broker keeps answers for a minute's tries. */
		cmocka_unit_test_setup_teardown(others_go_on_while_one_has_too_few_replicas_in_sync, relaying_begin, end),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
