/* Questions about offsets, answered by the brokers. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/mutex.h"
#include "common/kafka/consumer_private.h"

#define TIMESTAMP_LATEST (-1)
#define TIMESTAMP_EARLIEST (-2)

static void list_free(rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_destroy(list);
}
DEFINE_CLEANUP(rd_kafka_topic_partition_list_t, list_free)

int kafka_watermarks(struct kafka_consumer *consumer, const char *topic, int32_t partition, int timeout_ms,
					 int64_t *ret_low, int64_t *ret_high, struct error *err)
{
	int64_t low;
	int64_t high;
	rd_kafka_resp_err_t code =
		rd_kafka_query_watermark_offsets(consumer->handle, topic, partition, &low, &high, timeout_ms);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_set(err, ERR_UNAVAILABLE, "kafka: watermarks of %s/%d: %s", topic, partition,
						 rd_kafka_err2str(code));
	*ret_low = low;
	*ret_high = high;
	return 0;
}

/* ListOffsets, one request a broker. `timestamp` is wall-clock milliseconds or one of the two special ones, which
 * librdkafka passes on. */
static int list_offsets(struct kafka_consumer *consumer, const struct kafka_position *positions, size_t count,
						int64_t timestamp, int timeout_ms, int64_t *ret_offsets, struct error *err)
{
	CLEANUP(list_free_p) rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, positions[i].topic, positions[i].partition)->offset = timestamp;
	rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(consumer->handle, list, timeout_ms);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_set(err, ERR_UNAVAILABLE, "kafka: list offsets: %s", rd_kafka_err2str(code));
	for (size_t i = 0; i < count; i++) {
		/* librdkafka may have sorted the list. */
		const rd_kafka_topic_partition_t *found =
			rd_kafka_topic_partition_list_find(list, positions[i].topic, positions[i].partition);
		CHECK(found != NULL);
		if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			return error_set(err, ERR_UNAVAILABLE, "kafka: offsets of %s/%d: %s", positions[i].topic,
							 positions[i].partition, rd_kafka_err2str(found->err));
		ret_offsets[i] = found->offset;
	}
	return 0;
}

int kafka_watermarks_of(struct kafka_consumer *consumer, const struct kafka_position *positions, size_t count,
						int timeout_ms, int64_t *ret_lows, int64_t *ret_highs, struct error *err)
{
	if (count == 0)
		return 0;
	if (ret_lows != NULL && list_offsets(consumer, positions, count, TIMESTAMP_EARLIEST, timeout_ms, ret_lows, err) < 0)
		return -1;
	if (ret_highs != NULL && list_offsets(consumer, positions, count, TIMESTAMP_LATEST, timeout_ms, ret_highs, err) < 0)
		return -1;
	return 0;
}

int kafka_offset_at(struct kafka_consumer *consumer, const char *topic, int32_t partition, int64_t wall_ms,
					int timeout_ms, int64_t *ret_offset, struct error *err)
{
	const struct kafka_position position = {.topic = topic, .partition = partition};
	int64_t offset;
	if (list_offsets(consumer, &position, 1, wall_ms < 0 ? 0 : wall_ms, timeout_ms, &offset, err) < 0)
		return -1;
	if (offset < 0 && list_offsets(consumer, &position, 1, TIMESTAMP_LATEST, timeout_ms, &offset, err) < 0)
		return -1;
	*ret_offset = offset;
	return 0;
}

const char *kafka_cluster_id(struct kafka_consumer *consumer, int timeout_ms)
{
	mutex_lock(&consumer->lock);
	if (consumer->cluster_id == NULL) {
		char *id = rd_kafka_clusterid(consumer->handle, timeout_ms);
		if (id != NULL) {
			consumer->cluster_id = xstrdup(id);
			rd_kafka_mem_free(consumer->handle, id);
		}
	}
	const char *id = consumer->cluster_id;
	mutex_unlock(&consumer->lock);
	return id;
}
