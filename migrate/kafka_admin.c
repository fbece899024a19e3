#include "migrate/kafka_admin.h"

#include <poll.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define RETRY_MS 200
#define SAY_EVERY_MS 5000
#define CALL_MS 5000

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

bool kafka_admin_pause(struct kafka_admin *admin)
{
	rd_kafka_poll(admin->handle, 0); /* serves the error callback */
	if (clock_left_ms(admin->deadline_ms) == 0)
		return false;
	poll(NULL, 0, min_int(RETRY_MS, clock_left_ms(admin->deadline_ms)));
	return true;
}

/* One look. */
static int look(struct kafka_admin *admin, const struct rd_kafka_metadata **ret_metadata, struct error *err)
{
	int timeout_ms = min_int(CALL_MS, clock_left_ms(admin->deadline_ms) + 1);
	rd_kafka_resp_err_t code = rd_kafka_metadata(admin->handle, 1, NULL, ret_metadata, timeout_ms);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "%s", rd_kafka_err2str(code));
}

static int wait_for_brokers(struct kafka_admin *admin, int brokers, struct error *err)
{
	int64_t say_ms = clock_boot_ms() + 1000;

	do {
		const struct rd_kafka_metadata *metadata = NULL;
		if (look(admin, &metadata, err) == 0) {
			int found = metadata->broker_cnt;
			rd_kafka_metadata_destroy(metadata);
			if (found >= brokers)
				return 0;
			(void)error_set(err, ERR_UNAVAILABLE, "%d of %d brokers have joined", found, brokers); /* used below */
		}
		if (clock_boot_ms() >= say_ms) {
			log_info("waiting for Kafka", "error", err->message, NULL);
			say_ms = clock_boot_ms() + SAY_EVERY_MS;
		}
	} while (kafka_admin_pause(admin));
	return error_prefix(err, "Kafka is not there");
}

int kafka_admin_open(struct kafka_admin *admin, const struct kafka_settings *settings, int brokers, int64_t deadline_ms,
					 struct error *err)
{
	rd_kafka_conf_t *conf = NULL;
	char text[256];

	*admin = (struct kafka_admin){.deadline_ms = deadline_ms};
	if (kafka_conf_new(settings, &conf, err) < 0)
		return -1;
	admin->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (admin->handle == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, ERR_INVALID, "librdkafka: %s", text);
	}
	admin->queue = rd_kafka_queue_new(admin->handle);
	return wait_for_brokers(admin, brokers, err);
}

void kafka_admin_release(struct kafka_admin *admin)
{
	if (admin->queue != NULL)
		rd_kafka_queue_destroy(admin->queue);
	if (admin->handle != NULL)
		rd_kafka_destroy(admin->handle);
	admin->queue = NULL;
	admin->handle = NULL;
}

int kafka_admin_metadata(struct kafka_admin *admin, const struct rd_kafka_metadata **ret_metadata, struct error *err)
{
	do {
		if (look(admin, ret_metadata, err) == 0)
			return 0;
	} while (kafka_admin_pause(admin));
	return error_prefix(err, "Kafka does not list its topics");
}

const struct rd_kafka_metadata_topic *kafka_admin_find_topic(const struct rd_kafka_metadata *metadata, const char *name)
{
	for (int i = 0; i < metadata->topic_cnt; i++) {
		if (strcmp(metadata->topics[i].topic, name) == 0)
			return &metadata->topics[i];
	}
	return NULL;
}

rd_kafka_AdminOptions_t *kafka_admin_options(struct kafka_admin *admin, rd_kafka_admin_op_t operation)
{
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->handle, operation);
	int timeout_ms = clock_left_ms(admin->deadline_ms) + 1;
	char text[256];

	CHECK(rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text)) ==
		  RD_KAFKA_RESP_ERR_NO_ERROR);
	return options;
}

int kafka_admin_answer(struct kafka_admin *admin, rd_kafka_event_type_t type, rd_kafka_event_t **ret_event,
					   struct error *err)
{
	/* librdkafka answers by its own request time-out at the latest. */
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, clock_left_ms(admin->deadline_ms) + CALL_MS);

	if (event == NULL)
		return error_set(err, ERR_TIMEOUT, "Kafka does not answer");
	CHECK(rd_kafka_event_type(event) == type);
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
		*ret_event = event;
		return 0;
	}
	(void)error_set(err, kafka_admin_is_transient(code) ? ERR_UNAVAILABLE : ERR_INTERNAL, "%s",
					rd_kafka_event_error_string(event)); /* -1 below */
	rd_kafka_event_destroy(event);
	return -1;
}

bool kafka_admin_is_transient(rd_kafka_resp_err_t code)
{
	static const rd_kafka_resp_err_t transient[] = {
		RD_KAFKA_RESP_ERR__TIMED_OUT,
		RD_KAFKA_RESP_ERR__TRANSPORT,
		RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
		RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
		RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
		RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
		RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
		RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
		/* Brokers that are still joining. */
		RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
	};

	for (size_t i = 0; i < ARRAY_LEN(transient); i++) {
		if (transient[i] == code)
			return true;
	}
	return false;
}
