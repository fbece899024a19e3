/*
 * kiln-build-service: the only writer of build state. What it is made of:
 *
 * - intake: the main inbox (requests, results, worker events), a batch folded into builds by transitions; leases and
 *   deadlines between the batches
 * - dispatch: waiting builds to free slots, then attempt.assign
 * - relay: the outbox to kiln.build.events
 * - log store: kiln.build.logs to build_logs
 * - prune: what is too old goes
 * - ops: /livez, /readyz, /metrics
 */
#include <malloc.h>
#include <string.h>

#include "build-service/config.h"
#include "build-service/counters.h"
#include "build-service/deadlines.h"
#include "build-service/dispatch.h"
#include "build-service/intake.h"
#include "build-service/log_store.h"
#include "build-service/prune.h"
#include "build-service/releases.h"
#include "build-service/service.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/http/ops_server.h"
#include "common/json/json_pool.h"
#include "common/kafka/topics.h"
#include "kiln_schemas.h"

#define COMMAND_TIMEOUT_MS 5000 /* an older assignment would come after its accept deadline */
#define QUEUED_MESSAGES 100000
#define EVENTS_LINGER_MS 1 /* a relay round becomes one request */
#define OUTBOX_BATCH 2000
#define WARM_UP_MS 15000
#define IDLE_LOOK_MS 5000

struct parts {
	struct service service;
	struct dispatcher *dispatcher;
	struct intake *intake;
	struct log_store *log_store;
	struct retention *retention;
};

static bool kafka_is_ready(void *ctx, struct buffer *why)
{
	const struct parts *parts = ctx;
	return kafka_producer_ready(parts->service.events, why) && kafka_producer_ready(parts->service.commands, why);
}

static bool intake_is_ready(void *ctx, struct buffer *why)
{
	const struct parts *parts = ctx;
	return intake_ready(parts->intake, why);
}

static bool log_store_is_ready(void *ctx, struct buffer *why)
{
	const struct parts *parts = ctx;
	return log_store_ready(parts->log_store, why);
}

static int make_producers(struct service *service, struct error *err)
{
	/* Commands are repeated anyway, and workers know what is over (executor/daemon/over.h). An idempotent producer has
	 * five requests under way at most, one a partition, and librdkafka's thread spins while others wait for their turn.
	 */
	const struct kafka_producer_options commands = {.message_timeout_ms = COMMAND_TIMEOUT_MS,
													.max_queued_messages = QUEUED_MESSAGES};
	const struct kafka_producer_options events = {
		.linger_ms = EVENTS_LINGER_MS, .idempotent = true, .gapless = true, .max_queued_messages = QUEUED_MESSAGES};
	if (kafka_producer_new(&service->kafka, &commands, &service->commands, err) < 0 ||
		kafka_producer_new(&service->kafka, &events, &service->events, err) < 0)
		return -1;
	return 0;
}

/* Kafka may be away: the service then starts all the same and says on /readyz what it lacks. */
static void warm_up(struct service *service)
{
	static const char *const command_topics[] = {TOPIC_BUILD_ASSIGNMENTS};
	static const char *const event_topics[] = {TOPIC_BUILD_EVENTS};
	struct error err = ERROR_INIT;
	int64_t deadline_ms = clock_boot_ms() + WARM_UP_MS;
	if (kafka_producer_warm_up(service->commands, command_topics, ARRAY_LEN(command_topics), deadline_ms, &err) < 0 ||
		kafka_producer_warm_up(service->events, event_topics, ARRAY_LEN(event_topics), deadline_ms, &err) < 0)
		log_warn("kafka is not there yet", "error", err.message, NULL);
}

static int start(struct parts *parts, struct error *err)
{
	struct service *service = &parts->service;
	if (schema_set_load(kiln_schema_files, &service->schemas, err) < 0 ||
		pg_watch_new(&service->pg, &service->watch, err) < 0 || make_producers(service, err) < 0)
		return -1;
	service->releases = releases_new(service->commands);
	partition_ends_init(&service->ends, service->commands);
	service->deadlines = deadlines_new(service->config->accept_deadline_ms);
	const struct outbox_relay_options relay = {.pg = service->pg, .producer = service->events, .batch = OUTBOX_BATCH};
	if (outbox_relay_new(&relay, &service->relay, err) < 0)
		return -1;
	warm_up(service);
	if (dispatcher_start(service, &parts->dispatcher, err) < 0 || intake_start(service, &parts->intake, err) < 0 ||
		log_store_start(service, &parts->log_store, err) < 0 || prune_start(service, &parts->retention, err) < 0)
		return -1;
	const struct ops_check checks[] = {
		{.name = "kafka", .check = kafka_is_ready, .ctx = parts},
		{.name = "partitions", .check = intake_is_ready, .ctx = parts},
		{.name = "logs", .check = log_store_is_ready, .ctx = parts},
	};
	return ops_server_start(service->config->common.ops_address, service->config->common.ops_port, checks,
							ARRAY_LEN(checks), err);
}

/* Nobody may ask any more; then the partitions, so that another instance takes over at once; then what is under way. */
static void stop(struct parts *parts)
{
	struct service *service = &parts->service;
	ops_server_stop(); /* its checks ask what ends below */
	intake_stop(parts->intake);
	log_store_stop(parts->log_store);
	retention_stop(parts->retention);
	dispatcher_stop(parts->dispatcher);
	outbox_relay_free(service->relay);
	int drain_ms = (int)service->config->common.drain_timeout_ms;
	releases_free(service->releases);
	kafka_producer_free(service->commands, drain_ms);
	kafka_producer_free(service->events, drain_ms);
	partition_ends_release(&service->ends);
	deadlines_free(service->deadlines);
	pg_watch_free(service->watch);
	schema_set_free(service->schemas);
	wakeup_release(&service->dispatch);
	vacancies_release(&service->vacancies);
}

static void fill(struct service *service, const struct service_config *config, const char *url)
{
	*service = (struct service){
		.config = config,
		.policy = retry_policy_default,
		.epoch = -1,
		.pg = {.url = url, .application_name = "kiln-build-service"},
		.kafka = {.brokers = config->common.kafka_brokers,
				  .properties_file = config->common.kafka_config,
				  .client_id = "kiln-build-service"},
	};
	service->policy.max_losses = (int32_t)config->max_losses;
	service->policy.backoff_ms = config->retry_backoff_ms;
	service->policy.settle_limit_ms = config->settle_limit_s * 1000;
	wakeup_init(&service->dispatch);
	vacancies_init(&service->vacancies);
}

/* What a busy time needed goes back to the system when it is over. */
static void wait_for_the_end(struct service *service)
{
	uint64_t seen = 0, trimmed = 0;
	while (!signals_wait(clock_boot_ms() + IDLE_LOOK_MS)) {
		uint64_t batches = atomic_load(&service->batches);
		if (batches == seen && batches != trimmed) {
			(void)malloc_trim(0); /* there may be nothing to give */
			trimmed = batches;
		}
		seen = batches;
	}
}

int main(int argc, char **argv)
{
	struct service_config config = {.database_url = NULL};
	service_start("kiln-build-service", "the only writer of build state", service_options, service_options_len, &config,
				  argc, argv);
	signals_init(); /* after service_start: its thread logs */
	counters_register();
	json_pool_prepare();
	static struct parts parts;
	char *url = pg_indexed_url(config.database_url);
	fill(&parts.service, &config, url);
	struct error err = ERROR_INIT;
	if (start(&parts, &err) < 0) {
		log_error("cannot start", "error", err.message, NULL);
		return 1;
	}
	log_info("build service started", NULL);
	wait_for_the_end(&parts.service);
	stop(&parts);
	free(url);
	config_release(service_options, service_options_len, &config);
	log_info("build service ended", NULL);
	return 0;
}
