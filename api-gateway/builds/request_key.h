/* A request's Idempotency-Key, and what makes an id of it (idempotency.h). */
#pragma once

#include "api-gateway/builds/idempotency.h"
#include "api-gateway/requests/request.h"

/* The header's key (there must be one) and the deployment's secret, which lives as long as the gateway. -1:
 * request->answer is a problem. Any thread. */
int request_key(struct request *request, char ret_key[IDEMPOTENCY_KEY_MAX + 1], const uint8_t **ret_secret,
				size_t *ret_secret_len) MUST_CHECK;
