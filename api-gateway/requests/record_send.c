#include "api-gateway/requests/record_send.h"

#include "api-gateway/requests/lend.h"
#include "common/base/clock.h"

#define WAIT_MS 1900

static enum wait_end end_of(int rc, enum error_kind kind)
{
	if (rc == 0)
		return WAIT_CAME;
	return kind == ERR_UNAVAILABLE || kind == ERR_TIMEOUT || kind == ERR_UNKNOWN ? WAIT_MISSED : WAIT_UNTOLD;
}

int record_send(struct request *request, const struct kafka_message *message, struct kafka_delivery *ret_place,
				struct error *err)
{
	struct send_limits *limits = &request->gateway->sends;
	struct send_wait wait;
	int64_t now_ms = clock_boot_ms();
	if (!send_limits_enter(limits, message->topic, message->key, message->key_len, now_ms, &wait))
		return error_set(err, ERR_UNAVAILABLE, "Kafka does not answer");
	atomic_store(&request->sends_to, wait.partition);
	int rc = lend_take_effect(request, err);
	if (rc == 0)
		rc = kafka_produce_wait_place(request->gateway->producer, message, now_ms + WAIT_MS, ret_place, err);
	send_limits_leave(limits, &wait, end_of(rc, err->kind), clock_boot_ms());
	if (rc < 0 && err->kind == ERR_TIMEOUT)
		err->kind = ERR_UNKNOWN;
	return rc;
}
