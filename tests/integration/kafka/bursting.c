#include "bursting.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

_Atomic int requests;

static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *handle, int fd, const char *broker, int32_t broker_id,
										   int16_t api_key, int16_t version, int32_t correlation_id, size_t size,
										   void *ctx)
{
	(void)handle, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation_id, (void)size, (void)ctx;
	requests += api_key == 0; /* Produce */
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *handle, const rd_kafka_conf_t *conf, void *ctx, char *text, size_t size)
{
	(void)conf, (void)ctx, (void)text, (void)size;
	return rd_kafka_interceptor_add_on_request_sent(handle, "count", on_request_sent, NULL);
}

rd_kafka_t *__real_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size);
rd_kafka_t *__wrap_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size);
rd_kafka_t *__wrap_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size)
{
	(void)rd_kafka_conf_interceptor_add_on_new(conf, "count", on_new, NULL); /* seen by the tests that count */
	return __real_rd_kafka_new(type, conf, text, size);
}

const struct bursts_limits one = {
	.under_way = 1, .waiting = 10000, .waiting_bytes = 64UL * 1024 * 1024, .waiting_ms = 60000};

void open_bursts(struct fixture *fixture, const char *brokers, int message_timeout_ms,
				 const struct bursts_limits *limits)
{
	struct kafka_settings settings = test_kafka();
	if (brokers != NULL)
		settings.brokers = brokers;
	const struct kafka_producer_options options = {.message_timeout_ms = message_timeout_ms};
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_new(&settings, &options, &fixture->producer, &err), err);
	fixture->bursts = bursts_new(fixture->producer, limits);
	if (brokers == NULL)
		assert_ok(kafka_producer_warm_up(fixture->producer, (const char *const[]){fixture->topic}, 1,
										 test_now_ms() + 60000, &err),
				  err);
	requests = 0;
}

void close_bursts(struct fixture *fixture)
{
	kafka_producer_free(fixture->producer, 200);
	bursts_free(fixture->bursts);
	fixture->producer = NULL;
	fixture->bursts = NULL;
}

int bursting_set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	fixture->topic = test_name("bursts");
	test_topic(fixture->topic, 3, NULL);
	*state = fixture;
	return 0;
}

int bursting_tear_down(void **state)
{
	struct fixture *fixture = *state;
	test_thaw_kafka();
	close_bursts(fixture);
	free(fixture->topic);
	free(fixture);
	return 0;
}

void on_done(void *ctx, const struct kafka_delivery *delivery)
{
	struct fate *fate = ctx;
	fate->outcome = delivery->outcome;
	fate->offset = delivery->offset;
	fate->reports++;
}

static const struct cloudevent event = {.id = "id", .type = "test", .source = "/kiln/test", .subject = "s"};

struct kafka_message message_of(const struct fixture *fixture, const char *data)
{
	return (struct kafka_message){
		.topic = fixture->topic, .key = "k", .key_len = 1, .data = data, .data_len = strlen(data), .event = &event};
}

int give(struct bursts *bursts, struct fate *fate, const struct kafka_message *message, struct error *err)
{
	fate->op.message = *message;
	fate->op.message.data_stays = true;
	fate->op.done = on_done;
	fate->op.ctx = fate;
	return bursts_produce(bursts, &fate->op, err);
}

struct fate *produce(struct fixture *fixture, int first, int len)
{
	struct kafka_message message = message_of(fixture, "{}");
	struct error err = ERROR_INIT;
	for (int i = first; i < first + len; i++)
		assert_ok(give(fixture->bursts, &fixture->fates[i], &message, &err), err);
	return &fixture->fates[first];
}

int reports_of(const struct fate *fates, int len)
{
	int reports = 0;
	for (int i = 0; i < len; i++)
		reports += fates[i].reports;
	return reports;
}

void assert_fates(const struct fate *fates, int len, enum error_kind outcome)
{
	for (int i = 0; i < len; i++) {
		assert_int_equal(fates[i].reports, 1);
		assert_int_equal(fates[i].outcome, outcome);
	}
}
