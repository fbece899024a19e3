/*
 * The transaction of a POST that starts no build: what the request does, its row of the audit (audit.h), and the
 * Idempotency-Key (docs/contract.md), if it has one. For 24 hours a repeated request gets the answer of the
 * first one, and another body 422. The key is committed in the transaction of what the request does, so that neither is
 * there without the other; requests with the same key wait for each other. Only successful answers are kept: a request
 * that failed has done nothing, and may be tried again.
 *
 * The answer may hold secrets that are shown once. It is kept sealed by the caller's token, of which Kiln has only a
 * hash.
 */
#pragma once

#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/base/hash.h"

struct once {
	bool keyed;
	uint8_t id[SHA256_SIZE]; /* of the key */
	char id_hex[2 * SHA256_SIZE + 1], hash_hex[2 * SHA256_SIZE + 1];
};

/*
 * Worker. Gives a connection, as db_take does, in a transaction; with a key it holds the key. `body` may be
 * NULL (the route takes none). After a statement that failed it may be called again, to begin anew. -1: request->answer
 * is made, by an earlier request or as a problem.
 */
int once_begin(struct request *request, const cJSON *body, struct db *db, struct once *ret_once) MUST_CHECK;
/* Commits, with what was noted for the audit and, with a key, request->answer, if that is a success; not if the request
 * was given up (lend.h). -1: nothing is known to have happened, and request->answer says so. */
int once_end(struct request *request, struct db *db, const struct once *once) MUST_CHECK;
