#include "api-gateway/streams/stream_place.h"

#include <string.h>

#include "common/base/siphash.h"
#include "common/kafka/topics.h"

uint16_t stream_bucket(const char *key)
{
	return (uint16_t)(siphash(key, strlen(key)) % STREAM_BUCKETS);
}

int32_t stream_log_partition(const char *build_id)
{
	return topic_partition(topic_find(TOPIC_BUILD_LOGS), build_id, strlen(build_id));
}
