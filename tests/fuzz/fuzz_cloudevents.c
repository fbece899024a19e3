/*
 * Headers of a record: cloudevent_read takes what a second reading of the rules takes, and what it read is written as
 * headers that it reads as the same.
 *
 * The input: lines "name=value"; without "=" the value is null.
 */
#include "fuzz.h"

#include "common/kafka/cloudevent.h"

/* librdkafka makes messages with headers only from a broker's bytes. */
static rd_kafka_headers_t *current;
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *message,
													rd_kafka_headers_t **ret_headers);
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *message, rd_kafka_headers_t **ret_headers)
{
	(void)message;
	*ret_headers = current;
	return current != NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR__NOENT;
}

static int read_headers(rd_kafka_headers_t *headers, struct cloudevent_in *ret_event, struct error *err)
{
	rd_kafka_message_t message = {.offset = 1};
	current = headers;
	int result = cloudevent_read(&message, ret_event, err);
	if (headers != NULL)
		rd_kafka_headers_destroy(headers);
	current = NULL;
	return result;
}

static const struct {
	const char *name;
	size_t most;
	bool needed;
} attributes[] = {
	{"ce_specversion", 7, true}, {"ce_id", 159, true},       {"ce_source", 63, true},
	{"ce_type", 63, true},       {"ce_subject", 63, false},  {"ce_time", 39, false},
	{"ce_hash", 64, false},      {"ce_sequence", 23, false}, {"traceparent", 63, false},
};

/* The text that an attribute ends up with: of the last header of its name. */
struct texts {
	char *at[ARRAY_LEN(attributes)];
	bool illegible; /* one of them is too long, or no text */
};

static void note(struct texts *texts, const char *name, const char *value, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		if (!str_equal(name, attributes[i].name))
			continue;
		free(texts->at[i]);
		texts->at[i] = xstrndup(value, len);
		texts->illegible =
			texts->illegible || len > attributes[i].most || strlen(texts->at[i]) != len || !str_is_utf8(value, len);
	}
}

static bool is_sequence(const char *text)
{
	const char *greatest = "9223372036854775807";
	size_t zeros = strspn(text, "0"), len = strlen(text);
	if (strspn(text, "0123456789") != len || zeros == len)
		return false;
	return len - zeros < 19 || (len - zeros == 19 && strcmp(text + zeros, greatest) <= 0);
}

static bool is_event(const struct texts *texts)
{
	if (texts->illegible)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		const char *text = texts->at[i] != NULL ? texts->at[i] : "";
		if (attributes[i].needed && text[0] == '\0')
			return false;
		if (str_equal(attributes[i].name, "ce_specversion") && !str_equal(text, "1.0"))
			return false;
		if (str_equal(attributes[i].name, "ce_sequence") && text[0] != '\0' && !is_sequence(text))
			return false;
	}
	return true;
}

/* The lines as headers; the same in `texts`. NULL when there is none. */
static rd_kafka_headers_t *make_headers(const char *data, size_t size, struct texts *texts)
{
	rd_kafka_headers_t *headers = size > 0 ? rd_kafka_headers_new(8) : NULL;
	for (const char *line = data, *end = data + size; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop != NULL ? stop : end;
		const char *equals = memchr(line, '=', (size_t)(stop - line));
		CLEANUP(free_p) char *name = xstrndup(line, (size_t)((equals != NULL ? equals : stop) - line));
		const char *value = equals != NULL ? equals + 1 : NULL;
		size_t len = value != NULL ? (size_t)(stop - value) : 0;
		CHECK(rd_kafka_header_add(headers, name, -1, value, (ssize_t)len) == RD_KAFKA_RESP_ERR_NO_ERROR);
		note(texts, name, value != NULL ? value : "", len);
		line = stop + 1;
	}
	return headers;
}

static const char *or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static void check_written(const struct cloudevent_in *event)
{
	const struct cloudevent out = {
		.id = event->id,
		.type = event->type,
		.source = event->source,
		.subject = or_null(event->subject),
		.time = or_null(event->time),
		.sequence = event->sequence,
		.hash = or_null(event->hash),
		.traceparent = or_null(event->traceparent),
	};
	struct cloudevent_in again;
	struct error err = ERROR_INIT;
	CHECK(read_headers(cloudevent_headers(&out), &again, &err) == 0);
	CHECK(str_equal(again.id, event->id) && str_equal(again.type, event->type));
	CHECK(str_equal(again.source, event->source) && str_equal(again.subject, event->subject));
	CHECK(str_equal(again.hash, event->hash) && str_equal(again.traceparent, event->traceparent));
	CHECK(again.sequence == event->sequence);
	CHECK(event->time[0] != '\0' ? str_equal(again.time, event->time) : again.time[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct texts texts = {.illegible = false};
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	bool accepted = read_headers(make_headers((const char *)data, size, &texts), &event, &err) == 0;
	CHECK(accepted == is_event(&texts));
	if (accepted) {
		check_written(&event);
	} else {
		CHECK(err.kind == ERR_INVALID);
		check_message(&err);
	}
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		free(texts.at[i]);
	return 0;
}
