/*
 * Bearer tokens. Only the SHA-256 of a token is stored and compared; a token has 256 random bits, so the digest needs
 * no salt and a look-up by it tells nothing about other tokens: in memory it is found by a keyed hash and compared in
 * constant time, and what an index's timing could tell of a digest is of no use without the text. Tokens come from the
 * cache, which follows Postgres at once, within a second at the most, while it is up (caches.h). Tokens that nobody
 * knows are limited by the client's address (guesses.h), requests by their token (admission.h).
 *
 * Each loop keeps the text that it has hashed last, and its digest: most requests come with the token of the one
 * before. Whether the token is good is looked up all the same.
 */
#pragma once

#include "api-gateway/requests/request.h"

#define AUTH_TOKEN_MAX 512 /* bytes of a token's text */

struct auth_digest {
	size_t len;
	char text[AUTH_TOKEN_MAX];
	uint8_t hash[SHA256_SIZE];
};

enum auth_outcome {
	AUTH_GRANTED, /* request->token is set */
	AUTH_REFUSED, /* request->answer is 401, 403, or 429 or 503 by a limit (rate_limit.h) */
	AUTH_WAITS,   /* the token is being looked up; request_again follows */
};

/* Loop. `header` is the value of Authorization. */
enum auth_outcome auth_check(struct request *request, struct slice header);
