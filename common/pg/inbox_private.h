/* Shared inside of the inbox only. Everything but the atomics belongs to the inbox's thread. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/backoff.h"
#include "common/base/metrics.h"
#include "common/pg/inbox.h"
#include "common/pg/watch.h"

enum inbox_state {
	INBOX_FOREIGN, /* not mine */
	INBOX_MINE,
	INBOX_STOPPED, /* mine, but the log and the stored offset do not belong together: not read until its offset row
					  changes; or, when the log was too short, until it is long enough and the same */
	INBOX_UNTOLD,  /* mine, but no broker says where its log begins and ends: not read until one does */
};

#define INBOX_CE_ID_SIZE sizeof(((struct cloudevent_in *)NULL)->id)

struct inbox_partition {
	int32_t topic; /* index */
	int32_t partition;
	enum inbox_state state;
	int64_t next;   /* as in the database, by what we know: the offset to compare with */
	int64_t read;   /* the next record to take from Kafka; ahead of `next` by the records in hand */
	int64_t gap;    /* a record was missing before this offset in the last reading; -1 = none */
	bool verify;    /* the record at next-1 is still to be compared with last_ce_id */
	bool too_short; /* INBOX_STOPPED, because its log ended below `next`, and there is an id to compare with */
	bool urgent;    /* somebody waits for a record in hand: set while those are looked for */
	char last_ce_id[INBOX_CE_ID_SIZE];

	/* During a transaction. */
	bool touched;
	int64_t step_next;
	const char *step_ce_id;
};

/* What the compare-and-set is told: one element per touched partition in each array. */
#define INBOX_STEP_PARAMS 7
struct inbox_step {
	struct pg_array topics, partitions, expected, next, ce_ids;
	const char *params[INBOX_STEP_PARAMS];
};

struct inbox_topic {
	const char *name; /* the options' */
	struct inbox_partition *partitions;
	int32_t len;
};

/* One record in hand. `record` is first: handlers get pointers to it. */
struct inbox_item {
	struct inbox_record record;
	rd_kafka_message_t *message; /* key and headers as they were, for a dead letter */
	char text[];                 /* key, NUL, value, NUL */
};

struct inbox {
	struct inbox_options options;
	struct inbox_topic *topics;
	struct kafka_consumer *consumer; /* NULL after inbox_run */
	struct pg_conn *conn;
	struct pg_watch *watch;

	struct inbox_item **items;
	const struct inbox_record **records; /* for apply: room for max_records */
	struct inbox_item **aside;           /* while the items are put into another order: as many */
	size_t len, bytes;
	bool urgent;             /* one of them is: they do not wait for others */
	int64_t linger_until_ms; /* else they do, until then */
	int64_t rest_until_ms;   /* and not less than until then */
	int64_t busy_until_ms;   /* there is so much to do that even urgent ones wait for others until then */

	struct backoff backoff;  /* of retakes */
	int64_t connect_ms;      /* next try to connect */
	int64_t stopped_look_ms; /* next look at stopped partitions' rows, and for the logs of those untold */
	int64_t untold_since_ms; /* since then the logs of some are not told; 0: they were, the last time */
	size_t untold_turn;
	int64_t lag_alarm_ms; /* next alarm about old records */
	size_t stopped;       /* or untold */
	bool paused;          /* the offsets are to be read again: what Kafka still brings belongs to the old ones */

	pthread_rwlock_t consumer_lock; /* other threads hold it while they use the consumer; inbox_run, to end it */
	_Atomic bool stopping;
	_Atomic bool database_up;                  /* by the last thing that was done with it */
	_Atomic size_t stopped_shown, owned_shown; /* its part of the gauges */
};

extern struct metric inbox_records_total, inbox_batches_total, inbox_dead_letters_total, inbox_retries_total,
	inbox_offsets_moved_total, inbox_stopped_partitions, inbox_owned_partitions, inbox_batch_seconds;

/* What this inbox has of a gauge, which is the sum over all inboxes of the process. */
void inbox_show(struct metric *metric, _Atomic size_t *shown, size_t now);

/* Mine, and not read. */
static inline bool inbox_is_stopped(const struct inbox_partition *partition)
{
	return partition->state == INBOX_STOPPED || partition->state == INBOX_UNTOLD;
}

/* NULL when the topic is none of the options' , or the partition was never ours. */
struct inbox_partition *inbox_find(const struct inbox *inbox, const char *topic, int32_t partition);

/* inbox_items.c: takes over the message (destroys it when it is not wanted). */
void inbox_take_message(struct inbox *inbox, rd_kafka_message_t *message);
void inbox_drop_items(struct inbox *inbox);
/* The first `count` of them, which were applied; the others stay, and are looked at anew: does somebody wait? */
void inbox_drop_applied(struct inbox *inbox, size_t count);
/* Puts the items of partitions with a record that somebody waits for before the others, otherwise in the order in which
 * they came. How many they are. */
size_t inbox_urgent_first(struct inbox *inbox);
/* Gives everything in hand up, and reads the offsets again after delay_ms. */
void inbox_retake(struct inbox *inbox, int delay_ms);

/* inbox_offsets.c: the group's `taken`: offsets to start from. */
int inbox_read_offsets(struct inbox *inbox, struct kafka_position *positions, size_t count,
					   struct error *err) MUST_CHECK;
/* Stops it, with an alarm. */
void inbox_stop_partition(struct inbox *inbox, struct inbox_partition *partition, const char *reason);
/* Looks whether the row of a stopped partition has changed (kiln-migrate rewind), an untold one has a leader, or one
 * that was too short has grown; retakes then. */
void inbox_look_at_stopped(struct inbox *inbox);
/* Begins a transaction with the compare-and-set for the touched partitions; `step` is what travels, to be released when
 * the transaction is over. A row that is not as expected fails it: inbox_moved. `ahead`: as in struct pg_opening. */
int inbox_begin(struct inbox *inbox, struct inbox_step *step, bool ahead, struct error *err) MUST_CHECK;
void inbox_step_release(struct inbox_step *step);
bool inbox_moved(const struct inbox *inbox, const struct error *err);

/* inbox_batch.c: applies what is in hand, whatever it takes; but for what may wait on for others, when the rest is
 * faster without it. */
void inbox_apply_items(struct inbox *inbox);

/* inbox_letter.c: into the transaction under way. */
int inbox_dead_letter(struct inbox *inbox, const struct inbox_item *item, const struct error *reason,
					  struct error *err) MUST_CHECK;
