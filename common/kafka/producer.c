/*
 * The handle's life. Calls that use the handle pass the gate; the thread alone replaces it, behind the closed gate,
 * after a fatal error:
 *
 *   fatal ─▶ gate closed ─▶ purge, and serve reports until the old handle is empty ─▶ destroy it ─▶ new handle ─▶ open
 *
 * All reports of the old handle come before the first message of the new one; with kafka_message.generation that keeps
 * order across the change.
 */
#include "common/kafka/producer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"
#include "common/kafka/topics.h"

#define POLL_MS 1000
#define THREAD_STACK_BYTES (256UL * 1024)
/* Bytes that wait inside librdkafka. Its default is 1 GiB. */
#define QUEUE_KBYTES "65536"
/* A handle that cannot be made again is tried again this often. */
#define RECREATE_MS 1000

static struct metric produced_total = {.kind = METRIC_COUNTER,
									   .name = "kiln_kafka_deliveries_total",
									   .help = "Messages by fate.",
									   .labels = "outcome=\"acknowledged\""};
static struct metric failed_total = {.kind = METRIC_COUNTER,
									 .name = "kiln_kafka_deliveries_total",
									 .help = "Messages by fate.",
									 .labels = "outcome=\"failed\""};
static struct metric recreated_total = {.kind = METRIC_COUNTER,
										.name = "kiln_kafka_producer_recreated_total",
										.help = "Producer handles replaced after a fatal error."};

static void register_metrics(void)
{
	metric_register(&produced_total);
	metric_register(&failed_total);
	metric_register(&recreated_total);
}

static enum error_kind outcome_of(const struct kafka_producer *producer, const rd_kafka_message_t *message)
{
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return ERR_NONE;
	if (atomic_load(&producer->dying))
		return ERR_UNKNOWN;
	return rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED ? ERR_UNAVAILABLE : ERR_UNKNOWN;
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	(void)handle;
	struct kafka_producer *producer = opaque;
	struct kafka_delivery delivery = {
		.outcome = outcome_of(producer, message),
		.partition = message->partition,
		.offset = message->offset,
		.reason = rd_kafka_err2str(message->err),
	};
	metric_add(delivery.outcome == ERR_NONE ? &produced_total : &failed_total, 1);
	if (delivery.outcome != ERR_NONE)
		kafka_probe_forget(&producer->probe);
	struct kafka_op *op = message->_private;
	if (op != NULL) {
		bool allocated = op->allocated;
		op->done(op->ctx, &delivery); /* after which the caller's is the caller's again */
		if (allocated)
			free(op);
	}
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
	struct kafka_producer *producer = opaque;
	kafka_log_error(handle, code, reason);
	if (code == RD_KAFKA_RESP_ERR__FATAL)
		atomic_store(&producer->fatal, true);
}

/* The only public sign that the idempotent producer has its id is in librdkafka's statistics: "eos": {"idemp_state":
 * "Assigned", … */
static int on_stats(rd_kafka_t *handle, char *json, size_t len, void *opaque)
{
	static const char name[] = "\"idemp_state\"";
	static const char value[] = "\"Assigned\"";
	(void)handle;
	struct kafka_producer *producer = opaque;
	if (atomic_load(&producer->has_id))
		return 0; /* librdkafka frees json */
	const char *found = memmem(json, len, name, sizeof(name) - 1);
	if (found != NULL) {
		size_t left = len - (size_t)(found - json);
		size_t near = sizeof(name) + sizeof(value) + 4; /* a colon and blanks between them */
		if (memmem(found, left < near ? left : near, value, sizeof(value) - 1) != NULL)
			atomic_store(&producer->has_id, true);
	}
	return 0;
}

static int set_numbers(const struct kafka_producer_options *options, rd_kafka_conf_t *conf, struct error *err)
{
	const struct {
		const char *name;
		int value;
	} numbers[] = {
		{"message.timeout.ms", options->message_timeout_ms},
		{"linger.ms", options->linger_ms},
		{"queue.buffering.max.messages", options->max_queued_messages > 0 ? options->max_queued_messages : 100000},
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		char text[16];
		(void)snprintf(text, sizeof(text), "%d", numbers[i].value);
		if (kafka_conf_set(conf, numbers[i].name, text, err) < 0)
			return -1;
	}
	return 0;
}

static int make_conf(struct kafka_producer *producer, rd_kafka_conf_t **ret_conf, struct error *err)
{
	const struct kafka_settings settings = {
		.brokers = producer->brokers, .properties_file = producer->properties_file, .client_id = producer->client_id};
	const struct kafka_producer_options *options = &producer->options;
	const char *const values[][2] = {
		{"partitioner", "murmur2_random"},
		{"acks", "all"},
		{"enable.idempotence", options->idempotent ? "true" : "false"},
		{"queue.buffering.max.kbytes", QUEUE_KBYTES},
		{"statistics.interval.ms", options->idempotent ? "250" : "0"},
		{"delivery.report.only.error", "false"},
	};
	rd_kafka_conf_t *conf;
	if (kafka_conf_new(&settings, &conf, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (kafka_conf_set(conf, values[i][0], values[i][1], err) < 0)
			goto out;
	}
	/* librdkafka calls it experimental and says so in the log, hence only where it is needed. */
	if (options->gapless && kafka_conf_set(conf, "enable.gapless.guarantee", "true", err) < 0)
		goto out;
	if (set_numbers(options, conf, err) < 0)
		goto out;
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_stats_cb(conf, on_stats);
	rd_kafka_conf_set_opaque(conf, producer);
	*ret_conf = conf;
	return 0;
out:
	rd_kafka_conf_destroy(conf);
	return -1;
}

/* Puts a new handle into place. */
static int open_handle(struct kafka_producer *producer, struct error *err)
{
	rd_kafka_conf_t *conf;
	if (make_conf(producer, &conf, err) < 0)
		return -1;
	char text[256];
	rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (handle == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, ERR_INTERNAL, "kafka producer: %s", text);
	}
	producer->handle = handle;
	producer->queue = rd_kafka_queue_get_main(handle);
	producer->generation++;
	gate_open(&producer->gate);
	return 0;
}

static void serve_reports(const struct kafka_producer *producer, int timeout_ms)
{
	if (rd_kafka_poll(producer->handle, timeout_ms) > 0 && producer->options.reported != NULL)
		producer->options.reported(producer->options.reported_ctx);
}

/* Everything in the handle gets its report. */
static void purge(const struct kafka_producer *producer)
{
	rd_kafka_t *handle = producer->handle;
	(void)rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT); /* flags are right */
	int64_t give_up_ms = clock_boot_ms() + 10000;
	while (rd_kafka_outq_len(handle) > 0 && clock_boot_ms() < give_up_ms)
		serve_reports(producer, 50);
}

static void forget_topics(struct kafka_producer *producer)
{
	for (size_t i = 0; i < TOPICS_MAX; i++) {
		rd_kafka_topic_t *topic = atomic_exchange(&producer->topics[i], NULL);
		if (topic != NULL)
			rd_kafka_topic_destroy(topic);
	}
}

/* Nothing new from here on; every message under way gets its report; then the handle is destroyed. */
static void close_handle(struct kafka_producer *producer)
{
	rd_kafka_t *handle = producer->handle;
	rd_kafka_queue_t *queue = producer->queue;
	gate_close(&producer->gate);
	if (handle == NULL)
		return;

	purge(producer); /* before slow callers have left: reports must not wait for them */
	gate_wait(&producer->gate);
	purge(producer); /* of those who were inside when the gate closed */
	if (rd_kafka_outq_len(handle) > 0)
		log_error("kafka producer: reports are missing after a purge", "count", LOG_INT(rd_kafka_outq_len(handle)),
				  NULL);

	producer->handle = NULL;
	producer->queue = NULL;
	forget_topics(producer);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(handle);
}

static void replace_handle(struct kafka_producer *producer)
{
	char reason[256] = "";
	rd_kafka_resp_err_t code = rd_kafka_fatal_error(producer->handle, reason, sizeof(reason));
	log_error("kafka producer: fatal error, replacing the handle", "code", rd_kafka_err2name(code), "error", reason,
			  NULL);
	metric_add(&recreated_total, 1);
	atomic_store(&producer->dying, true);
	close_handle(producer);
	atomic_store(&producer->dying, false);
	atomic_store(&producer->fatal, false);
	struct error err = ERROR_INIT;
	while (atomic_load(&producer->stop_at_ms) == 0 && open_handle(producer, &err) < 0) {
		log_error("kafka producer: no new handle", "error", err.message, NULL);
		clock_pause_ms(RECREATE_MS);
	}
}

static void *run(void *arg)
{
	struct kafka_producer *producer = arg;
	for (;;) {
		int64_t stop_at_ms = atomic_load(&producer->stop_at_ms);
		if (producer->handle == NULL)
			break;
		if (stop_at_ms != 0 && (rd_kafka_outq_len(producer->handle) == 0 || clock_boot_ms() >= stop_at_ms))
			break;
		if (atomic_load(&producer->fatal)) {
			replace_handle(producer);
			continue;
		}
		serve_reports(producer, stop_at_ms == 0 ? POLL_MS : 10);
	}
	close_handle(producer);
	return NULL;
}

static void release(struct kafka_producer *producer)
{
	kafka_probe_release(&producer->probe);
	free(producer->brokers);
	free(producer->properties_file);
	free(producer->client_id);
	free(producer);
}

/* Threads, librdkafka's and that of the reports. */
static int start(struct kafka_producer *producer, struct error *err)
{
	if (open_handle(producer, err) < 0)
		return -1;
	if (thread_start(&producer->thread, "kafka-producer", THREAD_STACK_BYTES, run, producer, err) == 0)
		return 0;
	close_handle(producer);
	return -1;
}

int kafka_producer_new(const struct kafka_settings *settings, const struct kafka_producer_options *options,
					   struct kafka_producer **ret_producer, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metrics) == 0);
	CHECK(kiln_topics_len <= TOPICS_MAX);

	struct kafka_producer *producer = xcalloc(1, sizeof(*producer));
	producer->brokers = xstrdup(settings->brokers);
	producer->properties_file = xstrdup(settings->properties_file);
	producer->client_id = xstrdup(settings->client_id);
	producer->options = *options;
	producer->has_id = !options->idempotent;
	kafka_probe_init(&producer->probe);
	bool might_preempt = !options->unhurried || thread_may_preempt(false); /* its threads inherit it */
	int result = start(producer, err);
	if (options->unhurried)
		(void)thread_may_preempt(might_preempt); /* it is as it was before */
	if (result < 0) {
		release(producer);
		return -1;
	}
	*ret_producer = producer;
	return 0;
}

void kafka_producer_free(struct kafka_producer *producer, int drain_ms)
{
	if (producer == NULL)
		return;
	atomic_store(&producer->stop_at_ms, clock_boot_ms() + drain_ms);
	if (gate_enter(&producer->gate)) {
		rd_kafka_queue_yield(producer->queue);
		gate_leave(&producer->gate);
	}
	thread_join(producer->thread);
	release(producer);
}

uint64_t kafka_producer_generation(struct kafka_producer *producer)
{
	return atomic_load(&producer->generation);
}

bool kafka_producer_ready(struct kafka_producer *producer, struct buffer *why)
{
	if (!gate_enter(&producer->gate)) {
		if (why != NULL)
			(void)buffer_append_str(why, "kafka producer is being replaced"); /* a cut reason is still one */
		return false;
	}
	bool ready = kafka_probe_ask(&producer->probe, producer->handle, why);
	gate_leave(&producer->gate);
	return ready;
}

void kafka_producer_break(struct kafka_producer *producer)
{
	if (!gate_enter(&producer->gate))
		return; /* it is broken already: its handle is being replaced */
	(void)rd_kafka_test_fatal_error(producer->handle, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test");
	gate_leave(&producer->gate);
}

bool kafka_producer_waits(struct kafka_producer *producer)
{
	if (!gate_enter(&producer->gate))
		return true;
	bool waits = rd_kafka_outq_len(producer->handle) > 0;
	gate_leave(&producer->gate);
	return waits;
}
