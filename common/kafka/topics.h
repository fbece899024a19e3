/* The topics (docs/messages.md): names, partitions, retention. kiln-migrate makes them; everybody else only names them.
 * Partition counts never change. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TOPIC_BUILD_REQUESTS "kiln.build.requests"
#define TOPIC_BUILD_ASSIGNMENTS "kiln.build.assignments"
#define TOPIC_BUILD_RESULTS "kiln.build.results"
#define TOPIC_WORKER_EVENTS "kiln.worker.events"
#define TOPIC_BUILD_LOGS "kiln.build.logs"
#define TOPIC_BUILD_EVENTS "kiln.build.events"
#define TOPIC_PROJECT_EVENTS "kiln.project.events"
#define TOPIC_CI_EVENTS "kiln.ci.events"
#define TOPIC_DEAD_LETTERS "kiln.dead-letters"

#define KAFKA_MAX_MESSAGE_BYTES 8388608 /* 8 MiB */

struct topic {
	const char *name;
	int partitions;
	int64_t retention_ms;
	int flush_single_broker; /* flush.messages=1 when there is one broker: a 202 is durable */
};

extern const struct topic kiln_topics[];
extern const size_t kiln_topics_len;

const struct topic *topic_find(const char *name);
/* Java's partitioner: (murmur2(key) & 0x7fffffff) % partitions. */
int32_t topic_partition(const struct topic *topic, const void *key, size_t key_len);
int32_t topic_partition_of_hash(const struct topic *topic, uint32_t hash); /* murmur2's */
