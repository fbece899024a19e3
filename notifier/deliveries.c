#include "notifier/deliveries.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/base/trace.h"
#include "common/base/wakeup.h"
#include "common/http/client.h"
#include "notifier/delivery.h"
#include "notifier/store.h"

/* Bodies in memory at once. */
#define MAX_BYTES (16UL * 1024 * 1024)
/* Of one host, which may answer slowly: the others are to have room. At least one body, whatever its size. */
#define MAX_HOST_BYTES (MAX_BYTES / 4)
/* Of one project, all of whose hosts may answer slowly: a half of the places, and of the bytes. */
#define PROJECT_SHARE 2
/* A claim lives so much longer than its attempt may. */
#define CLAIM_EXTRA_MS 45000
/* Claims of dead instances, and what other instances had no room for, are looked for this often. */
#define LOOK_MS 15000
/* Something is due, but another instance is just taking it. */
#define TAKEN_MS 20
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
/* For writing down how the last attempts ended. */
#define LAST_WORDS_MS 3000

struct deliveries {
	struct deliveries_options options;
	struct pg_conn *conn;
	struct http_client *client;
	struct wakeup wakeup;
	pthread_t thread;
	_Atomic bool postgres_ok;

	/* The thread's. */
	struct list_node under_way; /* claimed, not recorded yet */
	size_t under_way_len, under_way_bytes;
	char *walk;             /* see store_claim */
	struct backoff backoff; /* after errors of Postgres */

	pthread_mutex_t mutex;     /* for what follows */
	struct list_node finished; /* those of under_way whose attempt has ended */
	bool stopping;
	int64_t stop_deadline_ms;
};

static struct metric metric_under_way = {
	.kind = METRIC_GAUGE, .name = "kiln_webhooks_in_flight", .help = "Webhooks claimed and not yet recorded."};
static struct metric metric_exhausted = {.kind = METRIC_COUNTER,
										 .name = "kiln_webhooks_exhausted_total",
										 .help = "Webhooks given up after their last attempt or for good reason."};

static void on_finished(void *ctx, struct delivery *delivery)
{
	struct deliveries *deliveries = ctx;

	mutex_lock(&deliveries->mutex);
	list_append(&deliveries->finished, &delivery->finished_node);
	mutex_unlock(&deliveries->mutex);
	wakeup_signal(&deliveries->wakeup);
}

static void move_all(struct list_node *from, struct list_node *to)
{
	struct list_node *node;

	while ((node = list_pop(from)) != NULL)
		list_append(to, node);
}

static void forget(struct deliveries *deliveries, struct delivery *delivery)
{
	list_remove(&delivery->node);
	list_remove(&delivery->finished_node);
	deliveries->under_way_len--;
	deliveries->under_way_bytes -= delivery->body_len;
	delivery_free(delivery);
}

static void log_outcome(const struct delivery *delivery)
{
	const char *state = delivery_state_name(delivery->state);
	char trace_id[TRACE_ID_SIZE];

	if (delivery->state == DELIVERY_EXHAUSTED)
		metric_add(&metric_exhausted, 1);
	log_line(delivery->state == DELIVERY_DELIVERED ? LOG_INFO : LOG_WARN, "webhook attempt", "build_id",
			 delivery->build_id, "event", delivery->event_id, "type", delivery->event_type, "delivery", delivery->id,
			 "number", LOG_INT(delivery->attempt), "state", state, "error",
			 delivery->error[0] != '\0' ? delivery->error : NULL, "trace_id",
			 trace_id_of(delivery->traceparent, trace_id), NULL);
}

/* After an error of Postgres: everything is kept and tried again. */
static int back_off(struct deliveries *deliveries, const struct error *err)
{
	if (deliveries->backoff.now_ms == 0)
		log_warn("webhooks wait for Postgres", "error", err->message, NULL);
	(void)backoff_next(&deliveries->backoff); /* its now_ms is what is waited */
	atomic_store(&deliveries->postgres_ok, false);
	return -1;
}

static void postgres_answered(struct deliveries *deliveries)
{
	backoff_clear(&deliveries->backoff);
	atomic_store(&deliveries->postgres_ok, true);
}

/* Writes down what has ended. */
static int record_finished(struct deliveries *deliveries)
{
	struct list_node ended;
	struct error err = ERROR_INIT;

	list_init(&ended);
	mutex_lock(&deliveries->mutex);
	move_all(&deliveries->finished, &ended);
	mutex_unlock(&deliveries->mutex);
	if (list_empty(&ended))
		return 0;
	if (store_record(deliveries->conn, &ended, &err) < 0) {
		mutex_lock(&deliveries->mutex);
		move_all(&ended, &deliveries->finished);
		mutex_unlock(&deliveries->mutex);
		return back_off(deliveries, &err);
	}
	postgres_answered(deliveries);
	LIST_FOR_EACH (node, &ended) {
		struct delivery *delivery = LIST_ITEM(node, struct delivery, finished_node);
		log_outcome(delivery);
		forget(deliveries, delivery);
	}
	metric_set(&metric_under_way, (int64_t)deliveries->under_way_len);
	return 0;
}

static void send_all(struct deliveries *deliveries, struct list_node *claimed)
{
	struct list_node *node;

	while ((node = list_pop(claimed)) != NULL) {
		struct delivery *delivery = LIST_ITEM(node, struct delivery, node);
		list_append(&deliveries->under_way, node);
		deliveries->under_way_len++;
		deliveries->under_way_bytes += delivery->body_len;
		delivery_send(delivery, deliveries->client, deliveries->options.guard, deliveries->options.timeout_ms,
					  &deliveries->options.schedule, on_finished, deliveries);
	}
}

static bool has_room(const struct deliveries *deliveries)
{
	return deliveries->under_way_len < deliveries->options.in_flight && deliveries->under_way_bytes < MAX_BYTES;
}

/* Takes and starts what is due and has room. Returns how long to sleep when nobody wakes us. */
static int claim_due(struct deliveries *deliveries)
{
	const struct deliveries_options *options = &deliveries->options;
	struct store_claim claim = {.len = 1};

	while (claim.len > 0 && has_room(deliveries)) {
		struct error err = ERROR_INIT;
		const struct store_limits limits = {
			.rows = options->in_flight - deliveries->under_way_len,
			.bytes = MAX_BYTES - deliveries->under_way_bytes,
			.per_host = options->per_host,
			.host_bytes = MAX_HOST_BYTES,
			.per_project = (options->in_flight + PROJECT_SHARE - 1) / PROJECT_SHARE,
			.project_bytes = MAX_BYTES / PROJECT_SHARE,
			.claim_ms = options->timeout_ms + CLAIM_EXTRA_MS,
		};
		if (store_claim(deliveries->conn, &limits, &deliveries->under_way, &deliveries->walk, &claim, &err) < 0) {
			back_off(deliveries, &err);
			return deliveries->backoff.now_ms;
		}
		postgres_answered(deliveries);
		send_all(deliveries, &claim.deliveries);
		metric_set(&metric_under_way, (int64_t)deliveries->under_way_len);
	}
	/* Without room only the end of an attempt helps, and that wakes. */
	if (!has_room(deliveries) || claim.next_ms > LOOK_MS)
		return LOOK_MS;
	return claim.next_ms < TAKEN_MS ? TAKEN_MS : (int)claim.next_ms + 1;
}

static bool is_stopping(struct deliveries *deliveries, int64_t *ret_deadline_ms)
{
	mutex_lock(&deliveries->mutex);
	bool stopping = deliveries->stopping;
	*ret_deadline_ms = deliveries->stop_deadline_ms;
	mutex_unlock(&deliveries->mutex);
	return stopping;
}

/* The end: what is under way may end by itself until the deadline. False when nothing is left to do. */
static bool wind_down(struct deliveries *deliveries, int64_t deadline_ms)
{
	if (deliveries->under_way_len == 0)
		return false;
	if (clock_left_ms(deadline_ms) == 0 && deliveries->client != NULL) {
		http_client_free(deliveries->client); /* each of its requests calls on_finished */
		deliveries->client = NULL;
		return true;
	}
	if (clock_left_ms(deadline_ms + LAST_WORDS_MS) == 0) {
		log_warn("the outcomes of webhooks could not be recorded", "count", LOG_INT(deliveries->under_way_len), NULL);
		return false; /* their claims end by themselves, and they are delivered again */
	}
	int64_t until_ms = deliveries->client != NULL ? deadline_ms : deadline_ms + LAST_WORDS_MS;
	int ms = clock_left_ms(until_ms);
	if (deliveries->backoff.now_ms > 0 && deliveries->backoff.now_ms < ms)
		ms = deliveries->backoff.now_ms;
	wakeup_wait(&deliveries->wakeup, ms);
	return true;
}

static void *deliveries_thread(void *ctx)
{
	struct deliveries *deliveries = ctx;
	int64_t deadline_ms;
	bool going_on = true;

	while (going_on) {
		int result = record_finished(deliveries);
		if (is_stopping(deliveries, &deadline_ms)) {
			going_on = wind_down(deliveries, deadline_ms);
			continue;
		}
		wakeup_wait(&deliveries->wakeup, result == 0 ? claim_due(deliveries) : deliveries->backoff.now_ms);
	}
	return NULL;
}

int deliveries_new(const struct deliveries_options *options, struct deliveries **ret_deliveries, struct error *err)
{
	struct deliveries *deliveries = xcalloc(1, sizeof(*deliveries));

	deliveries->options = *options;
	deliveries->backoff = (struct backoff){.min_ms = RETRY_MIN_MS, .max_ms = RETRY_MAX_MS};
	if (http_client_new(options->guard, options->in_flight, options->in_flight, &deliveries->client, err) < 0) {
		free(deliveries);
		return -1;
	}
	delivery_register_metrics();
	metric_register(&metric_under_way);
	metric_register(&metric_exhausted);
	list_init(&deliveries->under_way);
	list_init(&deliveries->finished);
	mutex_init(&deliveries->mutex);
	wakeup_init(&deliveries->wakeup);
	deliveries->conn = pg_conn_new(&options->pg);
	if (thread_start(&deliveries->thread, "deliveries", 256UL * 1024, deliveries_thread, deliveries, err) < 0)
		return -1; /* the process ends */
	*ret_deliveries = deliveries;
	return 0;
}

void deliveries_stop(struct deliveries *deliveries, int64_t deadline_ms)
{
	mutex_lock(&deliveries->mutex);
	deliveries->stopping = true;
	deliveries->stop_deadline_ms = deadline_ms;
	mutex_unlock(&deliveries->mutex);
	wakeup_signal(&deliveries->wakeup);
	thread_join(deliveries->thread);
}

void deliveries_free(struct deliveries *deliveries)
{
	http_client_free(deliveries->client);
	LIST_FOR_EACH (node, &deliveries->under_way)
		forget(deliveries, LIST_ITEM(node, struct delivery, node));
	pg_conn_free(deliveries->conn);
	free(deliveries->walk);
	wakeup_release(&deliveries->wakeup);
	(void)pthread_mutex_destroy(&deliveries->mutex); /* nobody holds it */
	free(deliveries);
}

void deliveries_wake(struct deliveries *deliveries)
{
	wakeup_signal(&deliveries->wakeup);
}

bool deliveries_ready(void *deliveries, struct buffer *why)
{
	struct deliveries *self = deliveries;

	if (atomic_load(&self->postgres_ok))
		return true;
	(void)buffer_append_str(why, "Postgres does not answer the webhooks' connection"); /* cut is fine */
	return false;
}
