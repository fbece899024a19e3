/* What tests of the outbox share: a relay, and the events that it has published. */
#pragma once

#include "common/pg/outbox.h"
#include "services.h"

#define ALL_SHARDS ((UINT64_C(1) << OUTBOX_SHARDS) - 1)

struct outbox_relay *test_relay(const struct test_database *database, struct kafka_producer *producer, uint64_t shards,
								size_t batch);

struct test_event {
	const char *key;
	int count;
	char id[96], type[32], source[32], subject[64], time[40], hash[16], sequence[16], trace[16], data[64], reason[64];
};
/* The last event of a key in its topic, and how many there are. `key` is kept. */
struct test_event test_find_event(const char *topic, const char *key);
