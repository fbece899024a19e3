#include "api-gateway/wish.h"

#include "api-gateway/lend.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

#define WAIT_MS 1900

int wish_send(struct request *request, const struct wish *wish, struct error *err)
{
	char ce_id[UUID_TEXT_SIZE];
	uuid_v4(ce_id);
	const struct cloudevent event = {
		.id = ce_id,
		.type = wish->type,
		.source = GATEWAY_SOURCE,
		.subject = wish->key,
		.traceparent = request->traceparent,
	};
	const struct kafka_message message = {
		.topic = wish->topic,
		.partition = -1,
		.key = wish->key,
		.key_len = strlen(wish->key),
		.data = wish->data,
		.data_len = wish->data_len,
		.event = &event,
	};
	if (lend_take_effect(request, err) < 0)
		return -1;
	if (kafka_produce_wait(request->gateway->producer, &message, clock_boot_ms() + WAIT_MS, err) == 0)
		return 0;
	if (err->kind == ERR_TIMEOUT)
		err->kind = ERR_UNKNOWN;
	return -1;
}
