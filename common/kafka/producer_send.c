/* A message on its way into the handle. */
#include "common/kafka/producer_private.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/kafka/topics.h"

static int produce_error(rd_kafka_resp_err_t code, const struct kafka_message *message, struct error *err)
{
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return error_set(err, ERR_LIMIT, "kafka: %s: the local queue is full", message->topic);
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		return error_set(err, ERR_INVALID, "kafka: %s: message of %zu bytes is too large", message->topic,
						 message->data_len);
	if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
		code == RD_KAFKA_RESP_ERR__INVALID_ARG)
		return error_set(err, ERR_INTERNAL, "kafka: %s: %s", message->topic, rd_kafka_err2str(code));
	return error_set(err, ERR_UNAVAILABLE, "kafka: %s: %s", message->topic, rd_kafka_err2str(code));
}

/* Inside the gate: a topic of ours, kept until the handle goes. By its name librdkafka would look for it under the lock
 * of its whole handle, each time. */
static rd_kafka_topic_t *keep_topic(struct kafka_producer *producer, const struct topic *topic)
{
	_Atomic(rd_kafka_topic_t *) *place = &producer->topics[topic - kiln_topics];
	rd_kafka_topic_t *kept = atomic_load(place);
	if (kept != NULL)
		return kept;
	rd_kafka_topic_t *made = rd_kafka_topic_new(producer->handle, topic->name, NULL);
	if (made == NULL || atomic_compare_exchange_strong(place, &kept, made))
		return made;
	rd_kafka_topic_destroy(made); /* another thread was faster */
	return kept;
}

/* Inside the gate. */
static rd_kafka_resp_err_t put(struct kafka_producer *producer, const struct kafka_message *message,
							   struct kafka_op *op)
{
	const struct topic *ours = topic_find(message->topic);
	rd_kafka_topic_t *topic =
		ours != NULL ? keep_topic(producer, ours) : rd_kafka_topic_new(producer->handle, message->topic, NULL);
	if (topic == NULL)
		return RD_KAFKA_RESP_ERR__INVALID_ARG;
	rd_kafka_headers_t *headers =
		message->headers != NULL ? rd_kafka_headers_copy(message->headers) : cloudevent_headers(message->event);
	/* librdkafka's prototypes are not const: without F_FREE it only reads. */
	union {
		const void *in;
		void *out;
	} key = {message->key}, data = {message->data};
	rd_kafka_resp_err_t code =
		rd_kafka_producev(producer->handle, RD_KAFKA_V_RKT(topic),
						  RD_KAFKA_V_PARTITION(message->partition < 0 ? RD_KAFKA_PARTITION_UA : message->partition),
						  RD_KAFKA_V_KEY(key.out, message->key_len), RD_KAFKA_V_VALUE(data.out, message->data_len),
						  RD_KAFKA_V_MSGFLAGS(message->data_stays ? 0 : RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(op), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_headers_destroy(headers);
	if (ours == NULL)
		rd_kafka_topic_destroy(topic);
	return code;
}

static int produce(struct kafka_producer *producer, const struct kafka_message *message, struct kafka_op *op,
				   struct error *err)
{
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__STATE;
	if (gate_enter(&producer->gate)) {
		if (message->generation == 0 || message->generation == producer->generation)
			code = put(producer, message, op);
		gate_leave(&producer->gate);
	}
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	return produce_error(code, message, err);
}

int kafka_produce(struct kafka_producer *producer, const struct kafka_message *message, kafka_delivered *done,
				  void *ctx, struct error *err)
{
	struct kafka_op *op = NULL;
	if (done != NULL) {
		op = xmalloc(sizeof(*op));
		*op = (struct kafka_op){.done = done, .ctx = ctx, .allocated = true};
	}
	int result = produce(producer, message, op, err);
	if (result < 0)
		free(op);
	return result;
}

int kafka_produce_op(struct kafka_producer *producer, const struct kafka_message *message, struct kafka_op *op,
					 struct error *err)
{
	op->allocated = false;
	return produce(producer, message, op, err);
}
