#include "api-gateway/builds/wish.h"

#include "api-gateway/requests/record_send.h"
#include "common/base/ids.h"

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
	struct kafka_delivery place; /* nobody asks for it */
	return record_send(request, &message, &place, err);
}
