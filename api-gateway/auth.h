/*
 * Bearer tokens. Only the SHA-256 of a token is stored and compared; a token has 256 random bits, so the digest needs
 * no salt and a look-up by it tells nothing about other tokens. Tokens come from the cache, which follows Postgres
 * within a second while it is up.
 */
#pragma once

#include "api-gateway/request.h"

enum auth_outcome {
	AUTH_GRANTED, /* request->token is set */
	AUTH_REFUSED, /* request->answer is 401 or 403 */
	AUTH_WAITS,   /* the token is being looked up; dispatch_again follows */
};

/* Loop. `header` is the value of Authorization. */
enum auth_outcome auth_check(struct request *request, struct slice header);
