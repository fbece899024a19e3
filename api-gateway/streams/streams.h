/*
 * Server-Sent Events: the gateway's part (two tails, the limits, the reader of history) and each loop's hub of streams.
 * How nothing is missed: follow.h; how one stream lives: stream.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/streams/feed_place.h"
#include "api-gateway/streams/follow.h"
#include "api-gateway/gateway.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/kafka/config.h"

struct answer;
struct loop;
struct request;
struct stream_hub;

/* What a handler has decided of a stream: whose, from where. Its request owns it. */
struct stream_plan {
	enum stream_kind kind;
	char key[UUID_TEXT_SIZE]; /* the build's id, the project's; "" for all */
	int64_t after;            /* builds: the sequence that the client has */
	bool has_place;           /* feeds: the client has `place` */
	struct feed_place place;
};

/* Begins without Kafka and Postgres. After the workers. */
int streams_start(struct gateway *gateway, const struct kafka_settings *settings, struct error *err) MUST_CHECK;
/* After the loops have ended: ends the threads and frees what they had. gateway->streams itself stays, for what was
 * posted to the loops. Harmless when they were not started. */
void streams_stop(struct gateway *gateway);

/* On the loop's own thread, once. */
struct stream_hub *stream_hub_new(struct loop *loop);
/* Loop: ends its streams with a hint when to come back; new ones are refused from then on. */
void stream_hub_drain(struct stream_hub *hub);

/* The head of an answer that is an event stream. */
void stream_head(struct answer *answer);
/* Handlers: the answer will be a stream by this plan instead of request->answer. */
void stream_plan(struct request *request, const struct stream_plan *plan);
/* Loop: answers a request that has a plan. It may still become a problem: limits, drain. */
void stream_begin(struct request *request);
