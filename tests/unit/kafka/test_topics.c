#include "cmocka_prelude.h"

#include <string.h>

#include "common/kafka/topics.h"

static void partitions_are_those_of_javas_client(void **state)
{
	(void)state;
	/* From org.apache.kafka.common.utils.Utils.murmur2 over 12 partitions, by Kafka 4.2's own jar. */
	static const struct {
		const char *key;
		int32_t partition;
	} known[] = {
		{"0193f7a0-0000-7000-8000-000000000001", 8},
		{"0193f7a0-0000-7000-8000-000000000002", 4},
		{"a", 4},
		{"", 9},
	};
	const struct topic *topic = topic_find(TOPIC_BUILD_REQUESTS);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(topic_partition(topic, known[i].key, strlen(known[i].key)), known[i].partition);
}

static void every_topic_is_found_by_its_name(void **state)
{
	(void)state;
	assert_int_equal(kiln_topics_len, 9);
	for (size_t i = 0; i < kiln_topics_len; i++)
		assert_ptr_equal(topic_find(kiln_topics[i].name), &kiln_topics[i]);
	assert_null(topic_find("kiln.build.request"));
}

static void only_requests_are_flushed_at_once_on_a_single_broker(void **state)
{
	(void)state;
	for (size_t i = 0; i < kiln_topics_len; i++)
		assert_int_equal(kiln_topics[i].flush_single_broker, strcmp(kiln_topics[i].name, TOPIC_BUILD_REQUESTS) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partitions_are_those_of_javas_client),
		cmocka_unit_test(every_topic_is_found_by_its_name),
		cmocka_unit_test(only_requests_are_flushed_at_once_on_a_single_broker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
