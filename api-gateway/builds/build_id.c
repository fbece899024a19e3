#include "api-gateway/builds/build_id.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/siphash.h"
#include "common/kafka/topics.h"

#define TRIES 256 /* with twelve partitions one id in 10^9 then stays where it is */
#define CHOSEN_DIGITS 4

static int32_t partition_of_the_moment(const struct topic *topic)
{
	int64_t moment = clock_boot_ms() / BUILD_ID_MOMENT_MS;
	/* Its key is this process's own: gateways do not choose alike. */
	return (int32_t)(siphash(&moment, sizeof(moment)) % (uint64_t)topic->partitions);
}

void build_id_new(const uint8_t random[8], char ret[UUID_TEXT_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	const struct topic *topic = topic_find(TOPIC_BUILD_REQUESTS);
	int32_t wanted = partition_of_the_moment(topic);
	uuid_v7_from(random, ret);
	unsigned number = (unsigned)random[6] << 8 | random[7]; /* they stay as random as they can be */
	char *chosen = ret + UUID_TEXT_SIZE - 1 - CHOSEN_DIGITS;
	uint32_t head = kafka_murmur2_head(ret, (size_t)(chosen - ret), UUID_TEXT_SIZE - 1);
	for (int i = 0; i < TRIES; i++) {
		if (topic_partition_of_hash(topic, kafka_murmur2_rest(head, chosen, CHOSEN_DIGITS)) == wanted)
			return;
		number++;
		char *digit = chosen;
		for (int shift = 12; shift >= 0; shift -= 4)
			*digit++ = hex[number >> shift & 15];
	}
}
