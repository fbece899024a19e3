#include "common/pg/inbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/inbox_private.h"

#define CONNECT_EVERY_MS 1000
#define MIN_BACKOFF_MS 100
#define MAX_BACKOFF_MS 5000

struct metric inbox_records_total = {
	.kind = METRIC_COUNTER, .name = "kiln_inbox_records_total", .help = "Records applied."};
struct metric inbox_batches_total = {
	.kind = METRIC_COUNTER, .name = "kiln_inbox_batches_total", .help = "Transactions that applied records."};
struct metric inbox_dead_letters_total = {
	.kind = METRIC_COUNTER, .name = "kiln_inbox_dead_letters_total", .help = "Records that became dead letters."};
struct metric inbox_retries_total = {
	.kind = METRIC_COUNTER, .name = "kiln_inbox_retries_total", .help = "Batches that were tried again."};
struct metric inbox_offsets_moved_total = {.kind = METRIC_COUNTER,
										   .name = "kiln_inbox_offsets_moved_total",
										   .help = "Batches given up because the stored offsets had moved."};
struct metric inbox_stopped_partitions = {
	.kind = METRIC_GAUGE,
	.name = "kiln_inbox_stopped_partitions",
	.help = "Own partitions that are not read: the log does not fit the stored offset, or has no leader."};
struct metric inbox_owned_partitions = {.kind = METRIC_GAUGE,
										.name = "kiln_inbox_owned_partitions",
										.help = "Partitions that the groups gave to this instance."};
struct metric inbox_batch_seconds = {.kind = METRIC_HISTOGRAM,
									 .name = "kiln_inbox_batch_seconds",
									 .help = "Duration of applying what was read at once."};

static void register_metrics(void)
{
	struct metric *const all[] = {&inbox_records_total,    &inbox_batches_total,       &inbox_dead_letters_total,
								  &inbox_retries_total,    &inbox_offsets_moved_total, &inbox_stopped_partitions,
								  &inbox_owned_partitions, &inbox_batch_seconds};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
}

void inbox_show(struct metric *metric, _Atomic size_t *shown, size_t now)
{
	metric_add(metric, (int64_t)now - (int64_t)atomic_exchange(shown, now));
}

static size_t count_owned(const struct inbox *inbox)
{
	size_t count = 0;
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		for (int32_t p = 0; p < inbox->topics[t].len; p++)
			count += inbox->topics[t].partitions[p].state != INBOX_FOREIGN;
	}
	return count;
}

/* The group's callbacks run inside of kafka_consumer_poll, on our thread. */
static int on_taken(void *ctx, struct kafka_position *positions, size_t count)
{
	struct inbox *inbox = ctx;
	/* What is in hand was read from other offsets than those that come now. */
	inbox_drop_items(inbox);
	inbox->paused = true;
	struct error err = ERROR_INIT;
	int result = inbox_read_offsets(inbox, positions, count, &err);
	atomic_store(&inbox->database_up, pg_connected(inbox->conn));
	if (result < 0)
		log_warn("inbox: cannot start reading yet", "consumer", inbox->options.consumer, "error", err.message, NULL);
	inbox_show(&inbox_owned_partitions, &inbox->owned_shown, count_owned(inbox));
	return result;
}

static void on_lost(void *ctx, const struct kafka_position *positions, size_t count)
{
	struct inbox *inbox = ctx;
	const struct inbox_handler *handler = &inbox->options.handler;
	inbox_drop_items(inbox);
	inbox->untold_since_ms = 0;
	for (size_t i = 0; i < count; i++) {
		struct inbox_partition *partition = inbox_find(inbox, positions[i].topic, positions[i].partition);
		if (partition == NULL || partition->state == INBOX_FOREIGN)
			continue; /* was never really taken */
		inbox->stopped -= inbox_is_stopped(partition);
		partition->state = INBOX_FOREIGN;
		partition->gap = -1;
		if (handler->lost != NULL)
			handler->lost(handler->ctx, inbox->topics[partition->topic].name, partition->partition);
	}
	inbox_show(&inbox_stopped_partitions, &inbox->stopped_shown, inbox->stopped);
	inbox_show(&inbox_owned_partitions, &inbox->owned_shown, count_owned(inbox));
}

int inbox_new(const struct inbox_options *options, struct inbox **ret_inbox, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metrics) == 0);
	if (options->lag_seconds != NULL)
		metric_register(options->lag_seconds);
	CHECK(options->max_records > 0 && options->max_bytes > 0 && options->tick_ms > 0 && options->handler.apply != NULL);
	struct inbox *inbox = xcalloc(1, sizeof(*inbox));
	inbox->options = *options;
	inbox->backoff = (struct backoff){.min_ms = MIN_BACKOFF_MS, .max_ms = MAX_BACKOFF_MS};
	inbox->topics = xcalloc(options->topics_len, sizeof(inbox->topics[0]));
	for (size_t i = 0; i < options->topics_len; i++)
		inbox->topics[i].name = options->topics[i];
	inbox->items = xcalloc(options->max_records, sizeof(void *));
	inbox->records = xcalloc(options->max_records, sizeof(void *));
	inbox->aside = xcalloc(options->max_records, sizeof(void *));
	inbox->options.pg.async_commit = options->async_commit;
	inbox->conn = pg_conn_new(&inbox->options.pg);
	CHECK(pthread_rwlock_init(&inbox->consumer_lock, NULL) == 0);
	const struct kafka_group_callbacks callbacks = {.taken = on_taken, .lost = on_lost, .ctx = inbox};
	if (pg_watch_new(&options->pg, &inbox->watch, err) < 0 ||
		kafka_group_new(&options->kafka, options->consumer, options->topics, options->topics_len, &callbacks,
						&inbox->consumer, err) < 0) {
		inbox_free(inbox);
		return -1;
	}
	pg_watch_add(inbox->watch, inbox->conn);
	*ret_inbox = inbox;
	return 0;
}

void inbox_free(struct inbox *inbox)
{
	if (inbox == NULL)
		return;
	inbox_drop_items(inbox);
	inbox_show(&inbox_stopped_partitions, &inbox->stopped_shown, 0);
	inbox_show(&inbox_owned_partitions, &inbox->owned_shown, 0);
	pg_watch_free(inbox->watch);
	kafka_consumer_free(inbox->consumer);
	pg_conn_free(inbox->conn);
	(void)pthread_rwlock_destroy(&inbox->consumer_lock); /* nobody holds it */
	for (size_t i = 0; i < inbox->options.topics_len; i++)
		free(inbox->topics[i].partitions);
	free(inbox->topics);
	free(inbox->items);
	free(inbox->records);
	free(inbox->aside);
	free(inbox);
}

/* Until when those in hand may wait for others. */
static int left_ms(const struct inbox *inbox)
{
	return clock_left_ms(inbox->urgent ? inbox->busy_until_ms : inbox->linger_until_ms);
}

/* Waits for the first record, then takes what is there: latency before size. Records that nobody waits for may wait for
 * others. */
static void gather(struct inbox *inbox)
{
	const struct inbox_options *options = &inbox->options;
	int timeout_ms = inbox->len == 0 ? options->tick_ms : left_ms(inbox);
	do {
		struct error err = ERROR_INIT;
		rd_kafka_message_t *message = kafka_consumer_poll(inbox->consumer, timeout_ms, &err);
		if (message != NULL) {
			inbox_take_message(inbox, message);
			timeout_ms = inbox->len == 0 ? 0 : left_ms(inbox);
			continue;
		}
		if (err.kind != ERR_NONE) {
			/* An offset that was there when the partition was taken is gone. Taking it again finds out why, and stops
			 * it if need be. */
			log_error("inbox: reading failed", "consumer", options->consumer, "error", err.message, NULL);
			inbox_retake(inbox, CONNECT_EVERY_MS);
		}
		return;
	} while (inbox->len < options->max_records && inbox->bytes < options->max_bytes);
}

/* With a pause between two tries, and only when nothing else does it. */
static void keep_connected(struct inbox *inbox)
{
	if (pg_connected(inbox->conn) || clock_boot_ms() < inbox->connect_ms)
		return;
	struct error err = ERROR_INIT;
	int result = pg_connect(inbox->conn, &err);
	atomic_store(&inbox->database_up, result == 0);
	if (result < 0)
		log_warn("inbox: no database", "consumer", inbox->options.consumer, "error", err.message, NULL);
	inbox->connect_ms = clock_boot_ms() + CONNECT_EVERY_MS;
}

void inbox_run(struct inbox *inbox)
{
	const struct inbox_handler *handler = &inbox->options.handler;
	while (!atomic_load(&inbox->stopping)) {
		keep_connected(inbox);
		gather(inbox);
		if (inbox->len > 0)
			inbox_apply_items(inbox);
		inbox_look_at_stopped(inbox);
		if (handler->tick != NULL && pg_connected(inbox->conn))
			handler->tick(handler->ctx, inbox->conn);
	}
	inbox_drop_items(inbox);
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		for (int32_t p = 0; p < inbox->topics[t].len; p++) {
			const struct kafka_position position = {.topic = inbox->topics[t].name, .partition = p};
			on_lost(inbox, &position, 1);
		}
	}
	CHECK(pthread_rwlock_wrlock(&inbox->consumer_lock) == 0);
	kafka_consumer_free(inbox->consumer);
	inbox->consumer = NULL;
	CHECK(pthread_rwlock_unlock(&inbox->consumer_lock) == 0);
}

void inbox_stop(struct inbox *inbox)
{
	atomic_store(&inbox->stopping, true);
	inbox_wake(inbox);
}

void inbox_wake(struct inbox *inbox)
{
	CHECK(pthread_rwlock_rdlock(&inbox->consumer_lock) == 0);
	if (inbox->consumer != NULL)
		kafka_consumer_wake(inbox->consumer);
	CHECK(pthread_rwlock_unlock(&inbox->consumer_lock) == 0);
}

bool inbox_owns(const struct inbox *inbox, const char *topic, int32_t partition)
{
	const struct inbox_partition *found = inbox_find(inbox, topic, partition);
	return found != NULL && found->state != INBOX_FOREIGN;
}

bool inbox_reads(const struct inbox *inbox, const char *topic, int32_t partition)
{
	const struct inbox_partition *found = inbox_find(inbox, topic, partition);
	return found != NULL && found->state == INBOX_MINE && !found->verify; /* not yet known to be the same log */
}

int64_t inbox_applied(const struct inbox *inbox, const char *topic, int32_t partition)
{
	const struct inbox_partition *found = inbox_find(inbox, topic, partition);
	return found != NULL && found->state != INBOX_FOREIGN ? found->next : -1;
}

int inbox_end_offset(struct inbox *inbox, const char *topic, int32_t partition, int timeout_ms, int64_t *ret_offset,
					 struct error *err)
{
	const struct kafka_position position = {.topic = topic, .partition = partition};
	return kafka_watermarks_of(inbox->consumer, &position, 1, timeout_ms, NULL, ret_offset, err);
}

static bool not_ready(struct buffer *why, const char *text)
{
	if (why != NULL)
		(void)buffer_append_str(why, text); /* a cut reason is still one */
	return false;
}

bool inbox_ready(struct inbox *inbox, struct buffer *why)
{
	if (!atomic_load(&inbox->database_up))
		return not_ready(why, "postgres does not answer");
	if (atomic_load(&inbox->stopped_shown) > 0)
		return not_ready(why, "a partition is stopped: its log does not fit the stored offset, or has no leader");
	CHECK(pthread_rwlock_rdlock(&inbox->consumer_lock) == 0);
	bool joined = inbox->consumer != NULL && kafka_group_joined(inbox->consumer);
	bool connected = joined && kafka_consumer_connected(inbox->consumer);
	CHECK(pthread_rwlock_unlock(&inbox->consumer_lock) == 0);
	if (!joined)
		return not_ready(why, "is not in the group");
	return connected || not_ready(why, "kafka does not answer");
}
