/* What a first message would wait for, waited for ahead of it: its topic's metadata, and the producer's id. */
#include "common/kafka/producer_private.h"

#include "common/base/clock.h"

static rd_kafka_resp_err_t topic_state(rd_kafka_t *handle, rd_kafka_topic_t *topic, int timeout_ms)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code = rd_kafka_metadata(handle, 0, topic, &metadata, timeout_ms);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return code;
	code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < metadata->topics[0].partition_cnt; i++) {
		if (metadata->topics[0].partitions[i].leader < 0)
			code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	}
	rd_kafka_metadata_destroy(metadata);
	return code;
}

/* Makes the topic known to the handle's metadata cache, where the first produce finds it, and sees all its partitions
 * with a leader. */
static int warm_topic(struct kafka_producer *producer, const char *name, int64_t deadline_ms, struct error *err)
{
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__STATE;
	if (gate_enter(&producer->gate)) {
		rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->handle, name, NULL);
		if (topic != NULL) {
			int left_ms = clock_left_ms(deadline_ms);
			code = topic_state(producer->handle, topic, left_ms < 1000 ? left_ms : 1000);
			rd_kafka_topic_destroy(topic);
		}
		gate_leave(&producer->gate);
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_set(err, ERR_UNAVAILABLE, "kafka: %s: %s", name, rd_kafka_err2str(code));
	return 0;
}

int kafka_producer_warm_up(struct kafka_producer *producer, const char *const *topics, size_t count,
						   int64_t deadline_ms, struct error *err)
{
	for (size_t i = 0; i < count;) {
		if (warm_topic(producer, topics[i], deadline_ms, err) == 0) {
			i++;
			continue;
		}
		if (clock_left_ms(deadline_ms) == 0)
			return -1;
		clock_pause_ms(50);
	}
	while (!atomic_load(&producer->has_id)) {
		if (clock_left_ms(deadline_ms) == 0)
			return error_set(err, ERR_UNAVAILABLE, "kafka: the producer has no id yet");
		clock_pause_ms(10);
	}
	return 0;
}
