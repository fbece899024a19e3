/*
 * What an answer of a model took, read from its bytes while they pass: server-sent events or one JSON text, Anthropic's
 * Messages or OpenAI's chat completions. Bytes may be cut anywhere; nothing of the answer is kept but the last counts.
 *
 * Anthropic says input at the start of a stream and output, cumulated, in later events; OpenAI says all of it in one
 * last event (stream_options.include_usage). A later number replaces an earlier one. An answer that was cut before it
 * said everything is estimated: a hostile agent must not get answers for nothing by hanging up early.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/model/prices.h"
#include "executor/proxy/json_scan.h"
#include "executor/proxy/model_api.h"

#define MODEL_NAME_BYTES 128

struct usage_reader {
	enum model_protocol protocol;
	enum { USAGE_NOTHING, USAGE_JSON, USAGE_EVENTS } form;
	struct json_scan scan;
	struct model_usage usage;
	char model[MODEL_NAME_BYTES]; /* as the answer names it, "" = not yet */
	bool has_input, has_output;   /* said, and for output: as the last word */
	int64_t events, bytes;

	/* Of a stream of events: the present line. */
	size_t line_len; /* bytes of it so far, counted to where it is known what it is */
	bool line_is_data;
	bool line_is_idle; /* an event that says nothing of usage */
};

/* `content_type` of the answer, NULL = none. */
void usage_reader_init(struct usage_reader *reader, enum model_protocol protocol, const char *content_type);
void usage_reader_release(struct usage_reader *reader);
void usage_reader_add(struct usage_reader *reader, const char *data, size_t len);
/* After the last byte: the counts. What was not said is estimated from the request's length and the events. */
struct model_usage usage_reader_end(struct usage_reader *reader, int64_t request_bytes);
/* All of them together. */
int64_t model_usage_tokens(const struct model_usage *usage);
