/*
 * The inbox (docs/protocol.md section 2): records of some topics are read in one group, and each batch is applied in
 * one Postgres transaction together with its offsets. Every effect takes place exactly once, however often instances
 * die, overlap or freeze.
 *
 * One inbox = one thread of the caller (inbox_run), one consumer, one connection. What it does:
 *  - On taking partitions: reads consumer_offsets (consumer, topic, partition) → next_offset, last_ce_id, cluster_id;
 *    looks at the watermarks. A log that starts above the offset or ends below it, another cluster id, or another ce_id
 *    at offset-1 stops that partition with an alarm (log error + metric kiln_inbox_stopped_partitions); an offset is
 *    never reset. One that ended below it goes on by itself once it is as long as the offset and has the record that
 *    was applied last at offset-1. When no broker tells of some of the logs for 10 s (they have no leader), the others
 *    are read without them; they follow when one does.
 *  - Batches: up to max_records or max_bytes; `urgent` and linger_ms say when. BEGIN; first statement: compare-and-set
 *    of the offset rows, locked in (topic, partition) order; then handler->apply; COMMIT; then handler->committed. When
 *    the compare-and-set does not find all rows, the batch fails: the offsets are read again, the consumer seeks there
 *    and goes on. So it does when the reply to COMMIT was lost.
 *  - A record that fails alone with SQLSTATE 22xxx/23xxx or ERR_INVALID from apply is poison: the batch is halved until
 *    the record stands alone, then it becomes a dead_letters row and an outbox row to kiln.dead-letters in the
 *    transaction that moves its offset. Anything else is retried for ever with backoff (100 ms … 5 s).
 *  - Waits longer than 2 s on a lock: the stuck-blocker watch from a second connection (section 2).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/config.h"
#include "common/kafka/consumer.h"
#include "common/pg/pg.h"

struct inbox_record {
	const char *topic; /* one of the inbox's topics, same pointer as given in the options */
	int32_t partition;
	int64_t offset;
	const char *key;            /* NUL-terminated copy; "" when absent */
	struct cloudevent_in event; /* all "" when the headers are not legible: `legible` is false */
	bool legible;
	const char *data; /* the value; NUL-terminated */
	size_t data_len;
	int64_t append_ms; /* the broker's time */
};

struct inbox_handler {
	void *ctx;
	/* Inside the transaction; the compare-and-set travels with its first statement. It may commit with its last
	 * round trip (pg_pipeline_commit_tx). Records are in offset order per partition. Fail with
	 * ERR_INVALID (or an SQLSTATE 22/23) only for poison. Called again with the same or fewer records after a failure:
	 * keep no state from a failed call. */
	int (*apply)(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err);
	/* Whether somebody waits for the effect of this record. An urgent record is applied at once, together with what is
	 * in hand of its partition; when `asks_first` says yes, with all that is in hand. Other records wait for linger_ms,
	 * or for twice the time that the last batch took (20 ms at most) where that is longer. Asked again while the record
	 * waits. NULL: no record is urgent. */
	bool (*urgent)(void *ctx, const struct inbox_record *record);
	/* Whether `apply` will ask the database something before it writes and commits: only about speed. May be asked of
	 * records that are not applied next. NULL: never. */
	bool (*asks_first)(void *ctx, const struct inbox_record *const *records, size_t count);
	/* After the commit, same thread, exactly the records of the last successful apply; for wake-ups and commands. May
	 * be NULL. */
	void (*committed)(void *ctx, const struct inbox_record *const *records, size_t count);
	/* Each turn of the loop (at least every tick_ms), outside of a transaction; may use the connection. May be NULL. */
	void (*tick)(void *ctx, struct pg_conn *conn);
	/* Ownership changed, same thread. May be NULL. */
	void (*taken)(void *ctx, const char *topic, int32_t partition);
	void (*lost)(void *ctx, const char *topic, int32_t partition);
};

struct inbox_options {
	const char *consumer; /* the name in consumer_offsets and the group id: "kiln-build-service" */
	const char *const *topics;
	size_t topics_len;
	size_t max_records; /* a batch, e.g. 500 */
	size_t max_bytes;   /* of their values, e.g. 16 MiB */
	int tick_ms;        /* e.g. 100 */
	int linger_ms;      /* of batches without an urgent record */
	/* A crash of the database server may undo the last batches, offsets and all, which are then applied again. For
	 * handlers whose effects outside of the database can be repeated. */
	bool async_commit;
	/* An INBOX_LAG_SECONDS in static storage, of this inbox alone, registered by inbox_new; NULL: it is not shown. */
	struct metric *lag_seconds;
	struct kafka_settings kafka;
	struct pg_settings pg;
	struct inbox_handler handler;
};

/* A series for each inbox of a process; `consumer_` is the options' consumer, a string literal. */
#define INBOX_LAG_SECONDS(consumer_)                                                                                   \
	{                                                                                                                  \
		.kind = METRIC_GAUGE, .name = "kiln_inbox_lag_seconds",                                                        \
		.help = "Age of the record that was applied last, by its topic's clock.",                                      \
		.labels = "consumer=\"" consumer_ "\""                                                                         \
	}

struct inbox;

/* Options and their strings must outlive the inbox. */
int inbox_new(const struct inbox_options *options, struct inbox **ret_inbox, struct error *err) MUST_CHECK;
void inbox_free(struct inbox *inbox);
/* Runs until inbox_stop; then leaves the group. */
void inbox_run(struct inbox *inbox);
/* Asks inbox_run to end and does not wait: inbox_free comes after that. Not NULL. Any thread. */
void inbox_stop(struct inbox *inbox);
/* Makes inbox_run tick soon. Any thread. */
void inbox_wake(struct inbox *inbox);

/* On the inbox's thread only: is (topic, partition) mine now? */
bool inbox_owns(const struct inbox *inbox, const char *topic, int32_t partition);
/* The same, and is its log read, and known to be the one that was? */
bool inbox_reads(const struct inbox *inbox, const char *topic, int32_t partition);
/* On the inbox's thread: what was applied of an own partition (next offset), -1 when it is not mine. */
int64_t inbox_applied(const struct inbox *inbox, const char *topic, int32_t partition);
/* The end offset that the partition's leader tells, on the inbox's thread, which it keeps for up to timeout_ms. */
int inbox_end_offset(struct inbox *inbox, const char *topic, int32_t partition, int timeout_ms, int64_t *ret_offset,
					 struct error *err) MUST_CHECK;
/* Any thread, for /readyz. */
bool inbox_ready(struct inbox *inbox, struct buffer *why);
