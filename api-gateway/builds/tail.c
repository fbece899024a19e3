#include "api-gateway/builds/tail.h"

#include <string.h>
#include <time.h>

#include "api-gateway/builds/key_index.h"
#include "api-gateway/builds/own_records.h"
#include "api-gateway/builds/recent_builds.h"
#include "api-gateway/streams/topic_tail.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/kafka/topics.h"

#define APPLIED_WAIT_MS 1500
#define APPLIED_LOOK_MS 10
#define FETCH_BYTES (1024 * 1024)
#define FETCH_MS 100

static struct metric begins_total = {.kind = METRIC_COUNTER,
									 .name = "kiln_gateway_tail_starts_total",
									 .help = "Times that a tail began to read.",
									 .labels = "tail=\"requests\""};

int32_t tail_partition(const char *build_id)
{
	return topic_partition(topic_find(TOPIC_BUILD_REQUESTS), build_id, strlen(build_id));
}

static bool has_type(const rd_kafka_message_t *message, const char *type)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;
	return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		   rd_kafka_header_get_last(headers, "ce_type", &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		   len == strlen(type) && memcmp(value, type, len) == 0;
}

static bool is_build_request(const rd_kafka_message_t *message)
{
	return message->key_len == UUID_TEXT_SIZE - 1 && uuid_is_valid(message->key, message->key_len) &&
		   has_type(message, "build.requested");
}

static void take(void *ctx, size_t slot, const rd_kafka_message_t *message)
{
	const struct gateway *gateway = ctx;
	bool is_own = message->key_len == UUID_TEXT_SIZE - 1 &&
				  own_records_has(gateway->own, message->key, (int32_t)slot, message->offset);
	bool is_request = is_own || is_build_request(message);
	if (is_request && uuid_version(message->key) == 8)
		key_index_add(gateway->keys, (int32_t)slot, message->offset, message->key, message->payload, message->len);
	if (message->key_len == 0 && has_type(message, "read.barrier"))
		recent_builds_pass(gateway->recent, (int32_t)slot, message->offset);
	else
		recent_builds_add(gateway->recent, (int32_t)slot, message->offset, is_request ? message->key : NULL,
						  message->payload, message->len);
	key_index_advance(gateway->keys, (int32_t)slot, message->offset + 1);
}

static void began(void *ctx, const int64_t *before, const int64_t *now)
{
	(void)before;
	const struct gateway *gateway = ctx;
	for (int32_t p = 0; p < topic_find(TOPIC_BUILD_REQUESTS)->partitions; p++) {
		recent_builds_start(gateway->recent, p, now[p]);
		key_index_start(gateway->keys, p, now[p]);
	}
}

/* Postgres' word on what it lacks, if it comes soon. */
static void await_applied(const struct gateway *gateway)
{
	int64_t until_ms = clock_boot_ms() + APPLIED_WAIT_MS;
	while (clock_boot_ms() < until_ms && recent_builds_applied_until(gateway->recent, 0) < 0)
		clock_pause_ms(APPLIED_LOOK_MS);
}

/* Postgres may lag by more than some minutes; what it lacks only the tail can know. Not further back than the keys of
 * it could be kept. */
static int64_t wanted(void *ctx, size_t slot, int64_t end)
{
	const struct gateway *gateway = ctx;
	if (slot == 0)
		await_applied(gateway);
	int64_t applied = recent_builds_applied_until(gateway->recent, (int32_t)slot);
	int64_t first = end - gateway->config->recent_keys / topic_find(TOPIC_BUILD_REQUESTS)->partitions;
	return applied < 0 || applied > end ? end : applied > first ? applied : first;
}

int tail_start(struct gateway *gateway, const struct kafka_settings *settings, struct error *err)
{
	static const char *const topics[] = {TOPIC_BUILD_REQUESTS};
	struct topic_tail_options options = {
		.name = "gateway-tail",
		.topics = topics,
		.topics_len = ARRAY_LEN(topics),
		.settings = *settings,
		.back_ms = gateway->config->recent_minutes * 60000,
		.wanted = wanted,
		.begins_total = &begins_total,
		.began = began,
		.take = take,
		.ctx = gateway,
	};
	/* Behind by that much at most, and cheap: fetched as it comes, each build would cost the broker and us a fetch.
	 * Shorter, and a gateway with nothing to do keeps the broker busy: in 40 idle seconds the broker of a whole system
	 * took 3.9 s of CPU with 20 ms, 2.2 s with this. */
	options.settings.fetch_min_bytes = FETCH_BYTES;
	options.settings.fetch_wait_ms = FETCH_MS;
	return topic_tail_start(&options, &gateway->tail, err);
}

void tail_stop(struct gateway *gateway)
{
	topic_tail_stop(gateway->tail);
}
