/*
 * POST …/builds, the hot path: everything up to Kafka happens in one call on the loop, without waiting; the answer
 * follows the delivery report. How a 202 comes about:
 *
 *   dispatch → build_accept: body, schema, rules, template → bursts_produce
 *     → (the producer's thread) delivered, accept_reported
 *     → (the loop) 202, or 503 that says whether the record was never sent or may have been
 */
#pragma once

#include "api-gateway/builds/build_request.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"

/* The names that ids from Idempotency-Key are made of; the alias of a route has the same. */
#define ACCEPT_ROUTE_BUILDS "builds"
#define ACCEPT_ROUTE_CREATE "create-and-build"
#define ACCEPT_ROUTE_RETRY "retry"

/* build->build_id: from the Idempotency-Key if there is one (`random` may be NULL then), else build_id_new of the
 * caller's random bits. `scope`: the id of what the key is for, a project or the build that is repeated. -1: the
 * problem is in request->answer. */
int accept_make_id(struct request *request, const char *route, const char *scope, const uint8_t random[8],
				   char ret[UUID_TEXT_SIZE]) MUST_CHECK;

/* The members task_id, status and links of a 202, and its Location. */
void accept_write_links(struct json_writer *w, struct answer *answer, const char *build_id, const char *status);

/* The problem of a record that was not acknowledged, by the kind of error that the producer, bursts or wish_send gave.
 * Returns -1. */
int accept_problem(struct request *request, enum error_kind outcome);

/* Worker, with a connection if there is a key: sends the build's record, unless the request was given up (lend.h);
 * waits until it is durable and, with a key, until it is known that its record is the key's first. -1: the problem is
 * in request->answer. */
int accept_send(struct request *request, struct db *db, const struct build_request *build,
				const struct buffer *value) MUST_CHECK;

/* As kafka_producer_options.reported; ctx: the gateway. */
void accept_reported(void *ctx);

/* Before the producer is made. */
void accept_start(struct gateway *gateway);
