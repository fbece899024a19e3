#include <stdatomic.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/mutex.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"

void kafka_probe_init(struct kafka_probe *probe)
{
	mutex_init(&probe->lock);
	probe->asked_ms = 0;
	probe->up = false;
	probe->why[0] = '\0';
}

void kafka_probe_release(struct kafka_probe *probe)
{
	(void)pthread_mutex_destroy(&probe->lock); /* nobody holds it: the client is gone */
}

void kafka_probe_forget(struct kafka_probe *probe)
{
	atomic_store(&probe->asked_ms, 0); /* without the lock, which is held while Kafka is asked: reports come by here */
}

static void set_why(struct kafka_probe *probe, const char *what, const char *detail)
{
	(void)snprintf(probe->why, sizeof(probe->why), "%s: %s", what, detail); /* may be cut */
}

static bool ask(struct kafka_probe *probe, rd_kafka_t *handle)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code = rd_kafka_metadata(handle, 0, NULL, &metadata, KAFKA_PROBE_TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		set_why(probe, "kafka does not answer", rd_kafka_err2str(code));
		return false;
	}
	bool up = true;
	for (int t = 0; t < metadata->topic_cnt && up; t++) {
		const struct rd_kafka_metadata_topic *topic = &metadata->topics[t];
		/* A handle that knows no topic yet is told all of them: others' are none of our business. */
		if (topic_find(topic->topic) == NULL)
			continue;
		if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
			set_why(probe, topic->topic, rd_kafka_err2str(topic->err));
			up = false;
		}
		for (int p = 0; p < topic->partition_cnt && up; p++) {
			if (topic->partitions[p].leader < 0) {
				set_why(probe, topic->topic, "a partition has no leader");
				up = false;
			}
		}
	}
	rd_kafka_metadata_destroy(metadata);
	return up;
}

bool kafka_probe_ask(struct kafka_probe *probe, rd_kafka_t *handle, struct buffer *why)
{
	mutex_lock(&probe->lock);
	int64_t now_ms = clock_boot_ms();
	if (probe->asked_ms == 0 || now_ms - probe->asked_ms >= KAFKA_PROBE_KEEP_MS) {
		probe->up = ask(probe, handle);
		probe->asked_ms = clock_boot_ms();
	}
	bool up = probe->up;
	if (!up && why != NULL)
		(void)buffer_append_str(why, probe->why); /* a cut reason is still one */
	mutex_unlock(&probe->lock);
	return up;
}
