/*
 * What somebody wants of a build or a worker that is under way: one record, durable in Kafka when the request is
 * answered with 202, applied by the build service.
 */
#pragma once

#include "api-gateway/requests/request.h"

struct wish {
	const char *topic, *type;
	const char *key;  /* the build's or the worker's id, and the event's subject */
	const char *data; /* JSON */
	size_t data_len;
};

/* Worker: as record_send. */
int wish_send(struct request *request, const struct wish *wish, struct error *err) MUST_CHECK;
