#include "common/kafka/cloudevent.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"

#define DATASCHEMA_PREFIX "urn:kiln:schema:"

/* Only fails when the header is read-only or memory is out: neither can be here. */
static void add(rd_kafka_headers_t *headers, const char *name, const char *value, size_t len)
{
	CHECK(rd_kafka_header_add(headers, name, (ssize_t)strlen(name), value, (ssize_t)len) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void add_str(rd_kafka_headers_t *headers, const char *name, const char *value)
{
	if (value != NULL)
		add(headers, name, value, strlen(value));
}

rd_kafka_headers_t *cloudevent_headers(const struct cloudevent *event)
{
	char now[CLOCK_RFC3339_SIZE];
	char sequence[24];
	char schema[sizeof(DATASCHEMA_PREFIX) + 64];

	rd_kafka_headers_t *headers = rd_kafka_headers_new(11);
	CHECK(headers != NULL);
	add(headers, "ce_specversion", "1.0", 3);
	add_str(headers, "ce_id", event->id);
	add_str(headers, "ce_source", event->source);
	add_str(headers, "ce_type", event->type);
	add_str(headers, "ce_subject", event->subject);
	if (event->time == NULL) {
		clock_format_rfc3339(clock_wall_us(), now);
		add_str(headers, "ce_time", now);
	} else {
		add_str(headers, "ce_time", event->time);
	}
	size_t prefix_len = sizeof(DATASCHEMA_PREFIX) - 1, type_len = strlen(event->type);
	CHECK(type_len < sizeof(schema) - prefix_len);
	memcpy(schema, DATASCHEMA_PREFIX, prefix_len);
	memcpy(schema + prefix_len, event->type, type_len);
	add(headers, "ce_dataschema", schema, prefix_len + type_len);
	add(headers, "content-type", "application/json", sizeof("application/json") - 1);
	if (event->sequence > 0) {
		int len = snprintf(sequence, sizeof(sequence), "%010lld", (long long)event->sequence);
		add(headers, "ce_sequence", sequence, (size_t)len);
	}
	add_str(headers, "ce_hash", event->hash);
	add_str(headers, "traceparent", event->traceparent);
	return headers;
}

/* Text that Postgres and logs can take: no NUL, valid UTF-8, and it fits. */
static int copy(char *ret, size_t size, const char *name, const void *value, size_t len, struct error *err)
{
	if (len >= size)
		return error_set(err, ERR_INVALID, "header %s is longer than %zu bytes", name, size - 1);
	if (len > 0 && (memchr(value, '\0', len) != NULL || !str_is_utf8(value, len)))
		return error_set(err, ERR_INVALID, "header %s is not text", name);
	if (len > 0)
		memcpy(ret, value, len);
	ret[len] = '\0';
	return 0;
}

int cloudevent_read(const rd_kafka_message_t *message, struct cloudevent_in *ret_event, struct error *err)
{
	struct cloudevent_in event = {.sequence = 0};
	char version[8] = "";
	char sequence[24] = "";
	const struct {
		const char *name;
		char *field;
		size_t size;
	} known[] = {
		{"ce_specversion", version, sizeof(version)},
		{"ce_id", event.id, sizeof(event.id)},
		{"ce_source", event.source, sizeof(event.source)},
		{"ce_type", event.type, sizeof(event.type)},
		{"ce_subject", event.subject, sizeof(event.subject)},
		{"ce_time", event.time, sizeof(event.time)},
		{"ce_hash", event.hash, sizeof(event.hash)},
		{"ce_sequence", sequence, sizeof(sequence)},
		{"traceparent", event.traceparent, sizeof(event.traceparent)},
	};

	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t code = rd_kafka_message_headers(message, &headers);
	if (code == RD_KAFKA_RESP_ERR__NOENT)
		return error_set(err, ERR_INVALID, "no headers");
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_set(err, ERR_INVALID, "headers: %s", rd_kafka_err2str(code));

	const char *name;
	const void *value;
	size_t len;
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
		for (size_t k = 0; k < ARRAY_LEN(known); k++) {
			if (strcmp(name, known[k].name) != 0)
				continue;
			/* A null value is an absent one. The last of several headers of a name wins. */
			if (copy(known[k].field, known[k].size, name, value, value == NULL ? 0 : len, err) < 0)
				return -1;
			break;
		}
	}
	if (strcmp(version, "1.0") != 0)
		return error_set(err, ERR_INVALID, "ce_specversion is not 1.0");
	if (event.id[0] == '\0' || event.type[0] == '\0' || event.source[0] == '\0')
		return error_set(err, ERR_INVALID, "ce_id, ce_type or ce_source is missing");
	if (sequence[0] != '\0' && str_parse_int(sequence, strlen(sequence), 1, INT64_MAX, &event.sequence, err) < 0)
		return error_prefix(err, "ce_sequence");
	*ret_event = event;
	return 0;
}
