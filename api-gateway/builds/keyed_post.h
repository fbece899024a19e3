/*
 * A POST that starts a build and carries an Idempotency-Key (docs/contract.md). Its id is a function of the key
 * (idempotency.h), so there is one build whatever happens; what has to be found out is whether the build's first record
 * asked for this body:
 *
 *   Postgres' row (key_lookups) and the tail (key_index) are asked → a known key is answered at once
 *   → else the record is produced → the tail has passed it → both are asked again → 202, 422, or 503
 */
#pragma once

#include "api-gateway/builds/key_index.h"
#include "api-gateway/builds/key_lookups.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/kafka/producer.h"

/* Of one request; made by keyed_post_begin, freed with it. */
struct keyed_post {
	struct request *request;
	char build_id[UUID_TEXT_SIZE];
	uint8_t hash[SHA256_SIZE]; /* of the body */
	struct key_question question;
	struct key_waiter waiter;
	bool sent; /* the record; the caller's */
	void (*confirmed)(struct request *request, enum key_verdict verdict);
};

/*
 * Loop, when the body is read and nothing was decided yet. The first time it asks, and the request comes back through
 * request_again, unless it is answered by then (the caller's deadline): *ret_waits. Then the verdict of what is known:
 * KEY_SAME and KEY_OTHER are final; otherwise the record is to be produced. -1: request->answer is a problem.
 */
int keyed_post_begin(struct request *request, const char *build_id, const uint8_t hash[SHA256_SIZE], bool *ret_waits,
					 enum key_verdict *ret_verdict) MUST_CHECK;
/* The producer's thread, before the request is posted to its loop: where the record lies. */
void keyed_post_delivered(struct request *request, const struct kafka_delivery *delivery);
/*
 * Loop, after an acknowledged delivery: waits for the tail, and for Postgres if it must. Takes the caller's reference
 * of the request over and gives it to `confirmed`, on the loop, with KEY_SAME, KEY_OTHER or KEY_UNDECIDED; not when the
 * request was given up meanwhile.
 */
void keyed_post_confirm(struct request *request, void (*confirmed)(struct request *request, enum key_verdict verdict));
/* Loop: the deadline has passed and the request is answered. */
void keyed_post_give_up(struct request *request);

/* Worker: the same two steps for a handler that may wait. -1: request->answer is a problem. */
int keyed_post_find(struct request *request, struct db *db, const char *build_id, const uint8_t hash[SHA256_SIZE],
					enum key_verdict *ret_verdict) MUST_CHECK;
enum key_verdict keyed_post_confirm_waiting(struct request *request, struct db *db, const char *build_id,
											const uint8_t hash[SHA256_SIZE], const struct kafka_delivery *delivery);

/* The problem of a verdict other than KEY_SAME. Returns -1. */
int keyed_post_problem(struct request *request, enum key_verdict verdict);
