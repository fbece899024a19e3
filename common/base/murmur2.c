#include "common/base/hash.h"

#include "common/base/compiler.h"

/* org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c. */
static const uint32_t m = 0x5bd1e995;

static uint32_t add_words(uint32_t h, const unsigned char *bytes, size_t words)
{
	for (; words > 0; bytes += 4, words--) {
		uint32_t k = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
		k *= m;
		k ^= k >> 24;
		k *= m;
		h *= m;
		h ^= k;
	}
	return h;
}

uint32_t kafka_murmur2_head(const void *head, size_t head_len, size_t len)
{
	CHECK(head_len % 4 == 0 && head_len <= len);
	return add_words(0x9747b28cU ^ (uint32_t)len, head, head_len / 4);
}

uint32_t kafka_murmur2_rest(uint32_t h, const void *rest, size_t len)
{
	const unsigned char *bytes = rest;
	h = add_words(h, bytes, len / 4);
	bytes += len / 4 * 4;
	len %= 4;
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

uint32_t kafka_murmur2(const void *data, size_t len)
{
	return kafka_murmur2_rest(kafka_murmur2_head(data, 0, len), data, len);
}
