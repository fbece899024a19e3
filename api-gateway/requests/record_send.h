/* One record of a worker's request, durable in Kafka when this returns. Loops have a way of their own (accept.c). */
#pragma once

#include "api-gateway/requests/request.h"
#include "common/kafka/producer.h"

/* Worker. Waits for Kafka, 2 s at most; not at all when it does not answer and enough others wait for it already
 * (send_limits.h). -1, with the kinds that accept_problem knows: ERR_UNKNOWN: it may have been sent; else it never was,
 * ERR_CANCELLED: because the request was given up (lend.h). */
int record_send(struct request *request, const struct kafka_message *message, struct kafka_delivery *ret_place,
				struct error *err) MUST_CHECK;
