/* CloudEvents 1.0 in Kafka's binary mode: attributes are record headers, the value is the data as JSON
 * (docs/events.md). */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"

/* To send. Strings are the caller's during the call. */
struct cloudevent {
	const char *id;          /* ce_id */
	const char *type;        /* ce_type: "build.requested" */
	const char *source;      /* ce_source: "/kiln/gateway" */
	const char *subject;     /* ce_subject: the key's id */
	const char *time;        /* ce_time, RFC 3339; NULL = now */
	int64_t sequence;        /* ce_sequence, zero-padded to 10 digits, from 1; 0 = none */
	const char *hash;        /* ce_hash, hex; NULL = none */
	const char *traceparent; /* NULL = none */
};

/* The headers of `event`, with ce_specversion, content-type and ce_dataschema ("urn:kiln:schema:<type>") added. Owned
 * by the caller until produced. */
rd_kafka_headers_t *cloudevent_headers(const struct cloudevent *event);

#define CLOUDEVENT_TRACEPARENT_SIZE 64

/* A received record's attributes, copied; absent ones are "". Values longer than the field are ERR_INVALID (poison). */
struct cloudevent_in {
	char id[160];
	char type[64];
	char source[64];
	char subject[64];
	char time[40];
	char traceparent[CLOUDEVENT_TRACEPARENT_SIZE];
	char hash[65];
	int64_t sequence; /* 0 = none */
};

/* ERR_INVALID when specversion is not 1.0 or id, type or source is missing. */
int cloudevent_read(const rd_kafka_message_t *message, struct cloudevent_in *ret_event, struct error *err) MUST_CHECK;
