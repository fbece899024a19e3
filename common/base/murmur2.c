#include "common/base/hash.h"

/* org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c. */
uint32_t kafka_murmur2(const void *data, size_t len)
{
	const uint32_t m = 0x5bd1e995;
	const int r = 24;
	const unsigned char *bytes = data;
	uint32_t h = 0x9747b28cU ^ (uint32_t)len;

	for (; len >= 4; bytes += 4, len -= 4) {
		uint32_t k = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
		k *= m;
		k ^= k >> r;
		k *= m;
		h *= m;
		h ^= k;
	}
	if (len >= 3)
		h ^= (uint32_t)bytes[2] << 16;
	if (len >= 2)
		h ^= (uint32_t)bytes[1] << 8;
	if (len >= 1) {
		h ^= (uint32_t)bytes[0];
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return h;
}
