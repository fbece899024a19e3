/* The relay's thread: wakes up, runs rounds until its shards are empty, sleeps. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"
#include "common/pg/outbox_private.h"
#include "kiln_pg_sql.h"

#define TIMER_MS 1000
/* Commits come in bursts, and who has just committed has more urgent things to do on this core than to publish: a
 * wake-up is followed this much later. */
#define LINGER_MS 2
/* Each round costs two transactions and, for each partition, a request to the broker and what its readers fetch: they
 * begin this much apart, but that one may be ahead of its time. An event that comes alone goes at once. */
#define PACE_MS 25
#define MIN_BACKOFF_MS 100
#define MAX_BACKOFF_MS 5000
/* A full round means that more wait: counting them is worth a query this often. */
#define COUNT_EVERY_MS 2000
/* Bodies of one round. Rounds beside others that wait for a partition are smaller: of eleven that wait, one for each
 * shard, there is still room for the twelfth in the producer's queue (64 MiB, common/kafka/producer.c). */
#define ROUND_BYTES ((size_t)8 * 1024 * 1024)
#define ROUND_BESIDE_BYTES ((size_t)4 * 1024 * 1024)
#define THREAD_STACK_BYTES (256UL * 1024)

struct outbox_relay {
	struct outbox_relay_options options;
	struct pg_conn *conn;
	struct wakeup wakeup;
	pthread_t thread;
	_Atomic bool stopping;
	_Atomic bool woken; /* by outbox_relay_wake: other instances may have to know */
	_Atomic uint64_t shards;
	struct outbox_recent *recent;

	/* The thread's. */
	unsigned listening_generation; /* of the connection that LISTENs */
	int64_t counted_ms;
	int64_t due_ms; /* of the next round, if none is ahead of its time */
	struct backoff backoff;
	/* Rounds that wait for the reports of some shards, which no other round touches meanwhile: each has others. */
	struct outbox_round *held[OUTBOX_SHARDS];
	size_t held_len;
};

static struct metric published_total = {.kind = METRIC_COUNTER,
										.name = "kiln_outbox_published_total",
										.help = "Events acknowledged by Kafka that are out of the outbox."};
static struct metric failed_total = {.kind = METRIC_COUNTER,
									 .name = "kiln_outbox_failed_total",
									 .help = "Events that a round left to be published again."};
static struct metric backlog_rows = {
	.kind = METRIC_GAUGE, .name = "kiln_outbox_backlog", .help = "Events in the outbox that wait, by the last look."};
static struct metric held_shards_now = {
	.kind = METRIC_GAUGE,
	.name = "kiln_outbox_held_shards",
	.help = "Shards of which no event is published before Kafka has told of earlier ones, while the others go on."};
static struct metric round_seconds = {
	.kind = METRIC_HISTOGRAM, .name = "kiln_outbox_round_seconds", .help = "Duration of a relay round that had rows."};

static void register_metrics(void)
{
	metric_register(&published_total);
	metric_register(&failed_total);
	metric_register(&backlog_rows);
	metric_register(&held_shards_now);
	metric_register(&round_seconds);
}

/* "{0,5,7}" */
static void shards_text(uint64_t shards, struct pg_array *ret)
{
	for (int shard = 0; shard < OUTBOX_SHARDS; shard++) {
		if ((shards >> shard & 1) != 0)
			pg_array_add_int(ret, shard);
	}
}

static int count_backlog(struct outbox_relay *relay, struct error *err)
{
	struct pg_array shards;
	pg_array_init(&shards, 1024);
	shards_text(atomic_load(&relay->shards), &shards);
	CLEANUP(pg_result_p) PGresult *result = NULL;
	int counted = pg_query(relay->conn, &sql_outbox_count, PG_PARAMS(pg_array_text(&shards)), 1, &result, err);
	pg_array_release(&shards);
	if (counted < 0)
		return -1;
	metric_set(&backlog_rows, pg_int(result, 0, "backlog", 0));
	relay->counted_ms = clock_boot_ms();
	return 0;
}

/* `whole`: these are all that wait. */
static int show_backlog(struct outbox_relay *relay, size_t count, bool whole, struct error *err)
{
	if (whole)
		metric_set(&backlog_rows, (int64_t)count);
	else if (clock_boot_ms() - relay->counted_ms >= COUNT_EVERY_MS)
		return count_backlog(relay, err);
	return 0;
}

static int remove_done(struct outbox_relay *relay, struct outbox_done *done, struct error *err)
{
	if (done->ids.len > 0 &&
		pg_query(relay->conn, &sql_outbox_delete, PG_PARAMS(pg_array_text(&done->ids)), 1, NULL, err) < 0)
		return -1;
	if (done->part_ids.len == 0)
		return 0;
	const char *const parts[] = {pg_array_text(&done->part_ids), pg_array_text(&done->part_builds)};
	return pg_query(relay->conn, &sql_outbox_shrink, parts, ARRAY_LEN(parts), NULL, err);
}

/* What may go by the reports that are there goes. */
static int settle(struct outbox_relay *relay, struct outbox_round *round, struct outbox_round_result *ret_result,
				  struct error *err)
{
	struct outbox_done done;
	struct outbox_round_result outcome;
	outbox_done_init(&done, round);
	outbox_round_settle(round, &done, &outcome);
	int result = remove_done(relay, &done, err);
	outbox_done_release(&done);
	if (result < 0)
		return -1;
	metric_add(&published_total, (int64_t)outcome.published);
	metric_add(&failed_total, (int64_t)outcome.failed);
	if (outcome.failed > outcome.blocked)
		return error_set(err, ERR_UNAVAILABLE, "%zu of %zu events were not acknowledged", outcome.failed,
						 outcome.failed + outcome.published);
	*ret_result = outcome;
	return 0;
}

static uint64_t held_shards(const struct outbox_relay *relay)
{
	uint64_t shards = 0;
	for (size_t i = 0; i < relay->held_len; i++)
		shards |= outbox_round_waits_for(relay->held[i]);
	return shards;
}

/* When that has changed. */
static void show_held(const struct outbox_relay *relay, bool more)
{
	struct pg_array text;
	uint64_t shards = held_shards(relay);
	pg_array_init(&text, 1024);
	shards_text(shards, &text);
	if (more)
		log_warn("outbox: Kafka tells nothing of some shards' events; the others go on", "waiting",
				 pg_array_text(&text), NULL);
	else
		log_info("outbox: Kafka has told of shards that waited; they go on", "waiting", pg_array_text(&text), NULL);
	pg_array_release(&text);
	metric_set(&held_shards_now, __builtin_popcountll(shards));
}

/* A round that was settled: it goes, or is kept for those of its shards that still wait. */
static void free_or_hold(struct outbox_relay *relay, struct outbox_round *round)
{
	if (outbox_round_waits_for(round) == 0) {
		outbox_round_free(round);
		return;
	}
	CHECK(relay->held_len < OUTBOX_SHARDS);
	relay->held[relay->held_len++] = round;
	show_held(relay, true);
}

static int settle_held(struct outbox_relay *relay, struct error *err)
{
	uint64_t before = held_shards(relay);
	int result = 0;
	for (size_t i = 0; i < relay->held_len && result == 0;) {
		struct outbox_round *round = relay->held[i];
		struct outbox_round_result outcome;
		result = settle(relay, round, &outcome, err);
		if (outbox_round_waits_for(round) != 0) {
			i++;
			continue;
		}
		outbox_round_free(round);
		relay->held[i] = relay->held[--relay->held_len];
	}
	if (held_shards(relay) != before)
		show_held(relay, false);
	return result;
}

/* One round of the shards. *ret_more: there may be more rows to publish at once. */
static int run_round(struct outbox_relay *relay, const char *shards, bool *ret_more, struct error *err)
{
	CLEANUP(outbox_batch_release) struct outbox_batch batch = {.recent = relay->recent};
	int64_t began_us = clock_boot_us();
	size_t held_len = relay->held_len;
	size_t bytes = held_len == 0 ? ROUND_BYTES : ROUND_BESIDE_BYTES;
	if (outbox_batch_load(&batch, relay->conn, shards, relay->options.batch, bytes, err) < 0)
		return -1;
	size_t count = batch.len;
	bool whole = count < relay->options.batch && !batch.cut && held_len == 0;
	bool full = count >= relay->options.batch / 2 || batch.cut;
	*ret_more = false;
	if (show_backlog(relay, count, whole, err) < 0)
		return -1;
	if (count == 0)
		return 0;

	struct outbox_round *round = outbox_round_start(relay->options.producer, &batch, &relay->wakeup);
	outbox_round_wait(round);
	struct outbox_round_result outcome;
	int result = settle(relay, round, &outcome, err);
	free_or_hold(relay, round);
	if (result < 0)
		return -1;
	metric_observe_us(&round_seconds, clock_boot_us() - began_us);
	bool newly_held = relay->held_len > held_len;
	if (whole && !newly_held)
		metric_set(&backlog_rows, (int64_t)outcome.failed);
	/* What was committed meanwhile has its own wake-up. Rows that can never go out wait for the timer. Behind shards
	 * that wait now, others may: each is kept once. */
	*ret_more = full && (outcome.published > 0 || newly_held);
	return 0;
}

/* A round of those shards that are mine and wait for nothing. */
static int run_next_round(struct outbox_relay *relay, bool *ret_more, struct error *err)
{
	/* They may change from round to round. */
	uint64_t shards = atomic_load(&relay->shards) & ~held_shards(relay);
	if (shards == 0) {
		*ret_more = false;
		return show_backlog(relay, 0, relay->held_len == 0, err);
	}
	struct pg_array text;
	pg_array_init(&text, 1024);
	shards_text(shards, &text);
	int result = run_round(relay, pg_array_text(&text), ret_more, err);
	pg_array_release(&text);
	return result;
}

static int run_rounds(struct outbox_relay *relay, struct error *err)
{
	/* Before the look into the table: what is committed after this has its own wake-up. */
	wakeup_clear(&relay->wakeup);
	if (pg_listen(relay->conn, "kiln_outbox", &relay->listening_generation, err) < 0)
		return -1;
	uint64_t shards = atomic_load(&relay->shards);
	const uint64_t all = (UINT64_C(1) << OUTBOX_SHARDS) - 1;
	if (atomic_exchange(&relay->woken, false) && (shards & all) != all && outbox_notify(relay->conn, err) < 0)
		return -1;
	for (bool more = true; more && !atomic_load(&relay->stopping);) {
		if (settle_held(relay, err) < 0 || run_next_round(relay, &more, err) < 0)
			return -1;
	}
	return 0;
}

static void keep_pace(struct outbox_relay *relay)
{
	int64_t now_ms = clock_boot_ms(), begin_ms = relay->due_ms - PACE_MS;
	if (begin_ms < now_ms + LINGER_MS)
		begin_ms = now_ms + LINGER_MS;
	clock_pause_ms(begin_ms - now_ms);
	relay->due_ms = (relay->due_ms > begin_ms ? relay->due_ms : begin_ms) + PACE_MS;
}

/* Wake-ups do not shorten this, only the end does. */
static void back_off(struct outbox_relay *relay)
{
	int64_t deadline_ms = clock_boot_ms() + backoff_next(&relay->backoff);
	for (int left_ms; !atomic_load(&relay->stopping) && (left_ms = clock_left_ms(deadline_ms)) > 0;)
		(void)wakeup_wait(&relay->wakeup, left_ms);
}

static void *run(void *arg)
{
	struct outbox_relay *relay = arg;
	const struct pg_notified wait = {.wakeup = &relay->wakeup, .stop = &relay->stopping};
	while (!atomic_load(&relay->stopping)) {
		struct error err = ERROR_INIT;
		if (run_rounds(relay, &err) == 0) {
			backoff_clear(&relay->backoff);
			pg_wait_notified(relay->conn, &wait, clock_boot_ms() + TIMER_MS);
			keep_pace(relay);
			continue;
		}
		if (!atomic_load(&relay->stopping))
			log_warn("outbox relay: trying again", "error", err.message, "sqlstate", err.sqlstate, NULL);
		back_off(relay);
	}
	return NULL;
}

int outbox_relay_new(const struct outbox_relay_options *options, struct outbox_relay **ret_relay, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CHECK(pthread_once(&once, register_metrics) == 0);
	CHECK(options->batch > 0 && options->batch <= 100000);
	struct outbox_relay *relay = xcalloc(1, sizeof(*relay));
	relay->options = *options;
	/* A delete that is lost only repeats events. */
	relay->options.pg.async_commit = true;
	relay->conn = pg_conn_new(&relay->options.pg);
	relay->recent = outbox_recent_new();
	relay->backoff = (struct backoff){.min_ms = MIN_BACKOFF_MS, .max_ms = MAX_BACKOFF_MS};
	wakeup_init(&relay->wakeup);
	if (thread_start(&relay->thread, "outbox-relay", THREAD_STACK_BYTES, run, relay, err) < 0) {
		wakeup_release(&relay->wakeup);
		pg_conn_free(relay->conn);
		outbox_recent_free(relay->recent);
		free(relay);
		return -1;
	}
	*ret_relay = relay;
	return 0;
}

void outbox_relay_free(struct outbox_relay *relay)
{
	if (relay == NULL)
		return;
	atomic_store(&relay->stopping, true);
	wakeup_signal(&relay->wakeup);
	thread_join(relay->thread);
	for (size_t i = 0; i < relay->held_len; i++)
		outbox_round_free(relay->held[i]);
	wakeup_release(&relay->wakeup);
	pg_conn_free(relay->conn);
	outbox_recent_free(relay->recent);
	free(relay);
}

void outbox_relay_own(struct outbox_relay *relay, uint64_t shards)
{
	atomic_store(&relay->shards, shards);
	wakeup_signal(&relay->wakeup);
}

void outbox_relay_keep(struct outbox_relay *relay, const struct outbox_committed *events, size_t len)
{
	outbox_recent_add(relay->recent, events, len);
}

void outbox_relay_wake(struct outbox_relay *relay)
{
	atomic_store(&relay->woken, true);
	wakeup_signal(&relay->wakeup);
}
