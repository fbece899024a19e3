#include "common/kafka/topics.h"

#include <string.h>

#include "common/base/compiler.h"
#include "common/base/hash.h"

#define DAYS(n) ((int64_t)(n)*24 * 60 * 60 * 1000)

const struct topic kiln_topics[] = {
	{TOPIC_BUILD_REQUESTS, 12, DAYS(7), 1},  {TOPIC_BUILD_ASSIGNMENTS, 32, DAYS(1), 0},
	{TOPIC_BUILD_RESULTS, 12, DAYS(7), 0},   {TOPIC_WORKER_EVENTS, 12, DAYS(1), 0},
	{TOPIC_BUILD_LOGS, 12, DAYS(3), 0},      {TOPIC_BUILD_EVENTS, 12, DAYS(30), 0},
	{TOPIC_PROJECT_EVENTS, 12, DAYS(30), 0}, {TOPIC_CI_EVENTS, 12, DAYS(30), 0},
	{TOPIC_DEAD_LETTERS, 3, DAYS(30), 0},
};
const size_t kiln_topics_len = ARRAY_LEN(kiln_topics);

const struct topic *topic_find(const char *name)
{
	for (size_t i = 0; i < kiln_topics_len; i++) {
		if (strcmp(kiln_topics[i].name, name) == 0)
			return &kiln_topics[i];
	}
	return NULL;
}

int32_t topic_partition_of_hash(const struct topic *topic, uint32_t hash)
{
	return (int32_t)((hash & 0x7fffffff) % (uint32_t)topic->partitions);
}

int32_t topic_partition(const struct topic *topic, const void *key, size_t key_len)
{
	return topic_partition_of_hash(topic, kafka_murmur2(key, key_len));
}
