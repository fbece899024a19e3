#include "cmocka_prelude.h"

#include <string.h>

#include "common/kafka/cloudevent.h"

static const struct cloudevent full = {
	.id = "build/b/7",
	.type = "build.started",
	.source = "/kiln/build-service",
	.subject = "b",
	.time = "2026-11-23T17:20:00.123456Z",
	.sequence = 7,
	.hash = "00ff",
	.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};

static const char *value_of(const rd_kafka_headers_t *headers, const char *name)
{
	const void *value;
	size_t len;
	if (rd_kafka_header_get_last(headers, name, &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return NULL;
	assert_int_equal(strlen(value), len);
	return value;
}

static void all_attributes_become_headers(void **state)
{
	(void)state;
	rd_kafka_headers_t *headers = cloudevent_headers(&full);
	assert_string_equal(value_of(headers, "ce_specversion"), "1.0");
	assert_string_equal(value_of(headers, "ce_id"), "build/b/7");
	assert_string_equal(value_of(headers, "ce_type"), "build.started");
	assert_string_equal(value_of(headers, "ce_source"), "/kiln/build-service");
	assert_string_equal(value_of(headers, "ce_subject"), "b");
	assert_string_equal(value_of(headers, "ce_time"), "2026-11-23T17:20:00.123456Z");
	assert_string_equal(value_of(headers, "ce_sequence"), "0000000007");
	assert_string_equal(value_of(headers, "ce_hash"), "00ff");
	assert_string_equal(value_of(headers, "ce_dataschema"), "urn:kiln:schema:build.started");
	assert_string_equal(value_of(headers, "content-type"), "application/json");
	assert_string_equal(value_of(headers, "traceparent"), full.traceparent);
	rd_kafka_headers_destroy(headers);
}

static void absent_attributes_have_no_header_but_time_is_now(void **state)
{
	(void)state;
	const struct cloudevent event = {.id = "i", .type = "t", .source = "s", .subject = "u"};
	rd_kafka_headers_t *headers = cloudevent_headers(&event);
	assert_null(value_of(headers, "ce_sequence"));
	assert_null(value_of(headers, "ce_hash"));
	assert_null(value_of(headers, "traceparent"));
	assert_int_equal(strlen(value_of(headers, "ce_time")), 27);
	rd_kafka_headers_destroy(headers);
}

/* rd_kafka_message_headers takes them from the message that rd_kafka_message_set_headers… does not exist for: a mock of
 * one call. */
static rd_kafka_headers_t *current;
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *message,
													rd_kafka_headers_t **ret_headers);
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *message, rd_kafka_headers_t **ret_headers)
{
	(void)message;
	if (current == NULL)
		return RD_KAFKA_RESP_ERR__NOENT;
	*ret_headers = current;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int read_current(struct cloudevent_in *event, struct error *err)
{
	rd_kafka_message_t message = {.offset = 1};
	int result = cloudevent_read(&message, event, err);
	if (current != NULL)
		rd_kafka_headers_destroy(current);
	current = NULL;
	return result;
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	current = cloudevent_headers(&full);
	assert_int_equal(read_current(&event, &err), 0);
	assert_string_equal(event.id, full.id);
	assert_string_equal(event.type, full.type);
	assert_string_equal(event.source, full.source);
	assert_string_equal(event.subject, full.subject);
	assert_string_equal(event.time, full.time);
	assert_string_equal(event.hash, full.hash);
	assert_string_equal(event.traceparent, full.traceparent);
	assert_int_equal(event.sequence, 7);
}

static void unknown_headers_are_tolerated(void **state)
{
	(void)state;
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	current = cloudevent_headers(&full);
	(void)rd_kafka_header_add(current, "ce_future", -1, "\xff\x00", 2);
	assert_int_equal(read_current(&event, &err), 0);
}

static void illegible_headers_are_invalid(void **state)
{
	(void)state;
	char longer[200];
	memset(longer, 'x', sizeof(longer));
	const struct {
		const char *name;
		const char *value;
		ssize_t len;
	} bad[] = {
		{"ce_specversion", "0.3", 3}, {"ce_id", longer, sizeof(longer)}, {"ce_id", "", 0},
		{"ce_type", NULL, 0},         {"ce_source", "\xff\xfe", 2},      {"ce_subject", "a\0b", 3},
		{"ce_sequence", "0", 1},      {"ce_sequence", "-1", 2},          {"ce_sequence", "1x", 2},
		{"ce_sequence", longer, 30},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cloudevent_in event = {.sequence = -5};
		struct error err = ERROR_INIT;
		current = cloudevent_headers(&full);
		(void)rd_kafka_header_add(current, bad[i].name, -1, bad[i].value, bad[i].len);
		assert_int_equal(read_current(&event, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(event.sequence, -5); /* untouched */
	}
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	assert_int_equal(read_current(&event, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_attributes_become_headers),
		cmocka_unit_test(absent_attributes_have_no_header_but_time_is_now),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(unknown_headers_are_tolerated),
		cmocka_unit_test(illegible_headers_are_invalid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
