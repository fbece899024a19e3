/*
 * What feeds missed, out of Kafka: one thread and one consumer for all of them, a page at a time in turn.
 */
#pragma once

#include <stdbool.h>

#include "api-gateway/callers/entities.h"
#include "api-gateway/streams/stream_read.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"

struct stream_history;

int stream_history_start(const struct kafka_settings *settings, struct stream_history **ret_history,
						 struct error *err) MUST_CHECK;
/* After the loops have ended, for what is queued is dropped: ends the thread and frees it. Takes NULL. */
void stream_history_stop(struct stream_history *history);

/* A page for a feed: everything of read->kind and read->key from read->from up to read->to that the token may see. */
struct history_work {
	struct stream_read *read;
	const struct api_token *token;
	/* On the history's thread; err->kind ERR_NONE: it was read. */
	void (*done)(struct history_work *work, const struct error *err);
};
/* Any thread. False: too many wait. */
bool stream_history_try(struct stream_history *history, struct history_work *work) MUST_CHECK;
