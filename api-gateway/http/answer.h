/* An answer while it is made: status, header fields, body. Any thread; sent by the request's loop (request_send). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api-gateway/http/etag.h"
#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/json/json.h"

#define ANSWER_MAX_FIELDS 16
#define ANSWER_MAX_BODY ((size_t)64 * 1024 * 1024)

struct answer_field {
	const char *name; /* lower case, static */
	const char *value;
	size_t value_len;
};

/* A text that is always the same, by gzip; static. */
struct answer_premade {
	const void *gzip;
	size_t gzip_len;
};

struct answer {
	int status;               /* 0: not made yet */
	const char *content_type; /* static; NULL: no body */
	int64_t retry_after_s;    /* 0: none; sent as Retry-After, later where rate_limit.h says so */
	struct answer_field fields[ANSWER_MAX_FIELDS];
	size_t fields_len;
	char text[6144]; /* holds the values; the longest is a Link with many filters */
	size_t text_len;
	struct buffer body;
	/* What is known of the body already; else representation.c makes it when it is needed. */
	char tag[ETAG_SIZE]; /* etag_of_bytes; "" */
	const struct answer_premade *premade;
};

void answer_init(struct answer *answer);
void answer_release(struct answer *answer);
/* Forgets what was made so far. */
void answer_clear(struct answer *answer);

/* `name` is static and lower case. Values are ours or were checked: a control byte in one is a bug (CHECK). */
void answer_field(struct answer *answer, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same for a value as it is. */
void answer_field_text(struct answer *answer, const char *name, const char *value, size_t len);
/* NULL: there is none. */
const struct answer_field *answer_find(const struct answer *answer, const char *name);

/* Begins a JSON body: the writer writes into answer->body. */
void answer_json(struct answer *answer, int status, struct json_writer *ret_writer);
void answer_empty(struct answer *answer, int status); /* 204, 304 */

/* The standard phrase of a status: "Not Found". Static storage. */
const char *answer_phrase(int status);
