/*
 * The two protocols of model APIs that the proxy speaks, Anthropic's Messages and OpenAI's chat completions: which
 * requests are let through, where the key goes, what an error looks like. Pure functions.
 *
 * Paths are those of the vendors, from /v1 on. Everything else that the vendors serve (files, batches, other ways to
 * ask a model) is refused: it costs money that nobody counts, or leaves something behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

enum model_protocol { MODEL_OPENAI, MODEL_ANTHROPIC };

/* Where an agent's model is. Strings are the caller's. */
struct model_api {
	enum model_protocol protocol;
	const char *base_url; /* as the operator gives it */
	const char *version;  /* what stands between it and the path behind /v1: "/v1", or "" when base_url has it */
	const char *key_file;
};

#define MODEL_PATH_PREFIX "/v1"

struct model_route {
	const char *method;
	const char *path;   /* behind /v1; a * at the end stands for one segment */
	bool is_generation; /* the model speaks: a turn, with tokens */
};

/* NULL when it is none of the protocol's. The path is compared as it is written, without its query: there is one
 * spelling. */
const struct model_route *model_route_find(enum model_protocol protocol, const char *method, size_t method_len,
										   const char *path, size_t path_len);
/* A query of the plain characters that these APIs use; at most MODEL_QUERY_BYTES. */
#define MODEL_QUERY_BYTES 256
bool model_query_is_plain(const char *query, size_t len);

/* Whether a header of the agent's goes on to the model's API (allow-list: an unknown one could be another way to say
 * who asks), and whether one of the answer comes back (all but those of the connection, and cookies). */
bool model_header_goes(const char *name, size_t len);
bool model_header_returns(const char *name, size_t len);

/* "x-api-key: KEY" or "Authorization: Bearer KEY". To be wiped and freed. */
char *model_key_header(enum model_protocol protocol, const char *key) MUST_CHECK;
/* Appends an error as the vendor writes it. The buffer has room for the message six times. */
void model_error_write(struct buffer *out, enum model_protocol protocol, int status, const char *message);
