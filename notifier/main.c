/*
 * kiln-notifier: tells bots how their builds ended.
 *
 *   kiln.build.events ──inbox──▶ webhook_deliveries ──deliveries thread──▶ POST callback_url
 */
#include <pthread.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/thread.h"
#include "common/http/ops_server.h"
#include "common/kafka/topics.h"
#include "notifier/deliveries.h"
#include "notifier/events.h"
#include "notifier/prune.h"
#include "notifier/settings.h"

#define CONSUMER "kiln-notifier"

static const char *const topics[] = {TOPIC_BUILD_EVENTS};

static bool check_inbox(void *ctx, struct buffer *why)
{
	return inbox_ready(ctx, why);
}

static void *inbox_thread(void *ctx)
{
	inbox_run(ctx);
	return NULL;
}

/* Until a signal: the inbox and the deliveries run, the ops port answers. */
static int serve(const struct notifier_settings *settings, struct deliveries *deliveries, struct inbox *inbox,
				 struct error *err)
{
	const struct ops_check checks[] = {{"inbox", check_inbox, inbox}, {"webhooks", deliveries_ready, deliveries}};
	pthread_t thread;

	if (ops_server_start(settings->common.ops_address, settings->common.ops_port, checks, ARRAY_LEN(checks), err) < 0)
		return -1;
	if (thread_start(&thread, "inbox", 512UL * 1024, inbox_thread, inbox, err) < 0)
		return -1;
	signals_wait(-1);
	inbox_stop(inbox);
	thread_join(thread);
	return 0;
}

static int run(const struct notifier_settings *settings, const struct address_guard *guard,
			   const struct schedule *schedule, struct error *err)
{
	CLEANUP(free_p) char *url = pg_indexed_url(settings->database_url);
	const struct pg_settings pg = {.url = url, .application_name = CONSUMER};
	const struct deliveries_options options = {
		.pg = pg,
		.guard = guard,
		.schedule = *schedule,
		.timeout_ms = (int)settings->webhook_timeout_ms,
		.in_flight = (size_t)settings->webhook_in_flight,
		.per_host = (size_t)settings->webhook_per_host,
	};
	struct events events = {.first_delay_ms = schedule->delay_ms[0]};
	static struct metric lag_seconds = INBOX_LAG_SECONDS(CONSUMER);
	const struct inbox_options inbox_options = {
		.consumer = CONSUMER,
		.topics = topics,
		.topics_len = ARRAY_LEN(topics),
		.max_records = 500,
		.max_bytes = 8UL * 1024 * 1024,
		.tick_ms = 1000,
		.linger_ms = 10, /* most events make no delivery and only move the offset */
		.async_commit = true,
		.lag_seconds = &lag_seconds,
		.kafka = {.brokers = settings->common.kafka_brokers,
				  .properties_file = settings->common.kafka_config,
				  .client_id = CONSUMER},
		.pg = pg,
		.handler = {.ctx = &events,
					.apply = events_apply,
					.asks_first = events_ask_first,
					.committed = events_committed},
	};
	struct inbox *inbox = NULL;

	if (deliveries_new(&options, &events.deliveries, err) < 0)
		return -1;
	struct retention *retention = NULL;
	int result = inbox_new(&inbox_options, &inbox, err);
	if (result == 0)
		result = prune_start(settings, &pg, &retention, err);
	if (result == 0)
		result = serve(settings, events.deliveries, inbox, err);
	retention_stop(retention);
	deliveries_stop(events.deliveries, clock_boot_ms() + settings->common.drain_timeout_ms);
	ops_server_stop();
	inbox_free(inbox);
	deliveries_free(events.deliveries);
	return result;
}

int main(int argc, char **argv)
{
	struct notifier_settings settings = {.webhook_timeout_ms = 0};
	struct address_guard *guard = NULL;
	struct schedule schedule;
	struct error err = ERROR_INIT;
	int status = 0;

	service_start(CONSUMER, "tells bots how their builds ended, by signed webhooks", notifier_options,
				  notifier_options_len, &settings, argc, argv);
	signals_init(); /* after service_start: its thread logs */
	if (address_guard_new(settings.webhook_allow, &guard, &err) < 0 ||
		schedule_parse(settings.webhook_schedule, &schedule, &err) < 0 || run(&settings, guard, &schedule, &err) < 0) {
		log_error("cannot start", "error", err.message, NULL);
		status = 1;
	} else {
		log_info("stopped", NULL);
	}
	address_guard_free(guard);
	config_release(notifier_options, notifier_options_len, &settings);
	return status;
}
