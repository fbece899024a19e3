/*
 * The two limits as HTTP says them: 429 or 503 with Retry-After, and the fields RateLimit-Policy and RateLimit
 * (draft-ietf-httpapi-ratelimit-headers-10) in every answer to a request that the admission has counted.
 *
 * Counted is what comes with a valid token, whatever becomes of it; 429 and 503 are decided by the head alone, before
 * the body is parsed and anybody else is asked.
 */
#pragma once

#include "api-gateway/requests/request.h"

/* By KILN_MAX_REQUEST_RATE and the like; before the loops. */
void rate_limit_start(struct gateway *gateway);
/* After the loops. It has no threads: frees what rate_limit_start has made; harmless without it. */
void rate_limit_stop(struct gateway *gateway);

/* Loop, once the token is known; later calls for the same request do nothing. -1: request->answer is 429 or 503. */
int rate_limit_admit(struct request *request) MUST_CHECK;
/* Loop, before a token that is not in memory is looked up. -1: request->answer is 429. */
int rate_limit_guess(struct request *request) MUST_CHECK;
/* Loop, after the look-up: it was no failure. */
void rate_limit_not_guessed(struct request *request);

/* Loop, when the answer's head is made: the fields, and Retry-After (`retry_after_s` 0: without), which is never told
 * earlier than RateLimit's `t`. */
void rate_limit_add_fields(struct request *request, int64_t retry_after_s);
