/* What is in hand, applied: one transaction if it goes well; halves of it to find the one record that does not; again
 * after what passes. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "common/pg/inbox_private.h"

/* Conflicts (deadlock, lock time-out, statement time-out) are tried again in place this often; then the offsets are
 * read again. */
#define MAX_CONFLICTS 5
/* A batch whose statement takes too long is tried again this often before it is halved: it may have been the hour. */
#define MAX_TIMEOUTS 2
#define LAG_ALARM_EVERY_MS 60000
/* A batch of so many records is followed by the next one so much later, or when that is full: each batch costs its
 * transaction, and what it causes costs requests to the broker, however small it is. */
#define BUSY_RECORDS 50
#define BUSY_MS 50
/* What nobody waits for rests this many times as long as the batch before took, so that somebody who comes finds this
 * thread and the database at leisure. */
#define REST 2
#define REST_MAX_MS 20

enum outcome {
	APPLIED,
	MOVED,    /* another transaction has moved the offsets */
	POISON,   /* a record cannot be applied */
	CONFLICT, /* try again */
	AWAY,     /* the database, or the fate of the commit, is not known */
};

static enum outcome outcome_of(const struct error *err)
{
	if (str_starts(err->sqlstate, "22") || str_starts(err->sqlstate, "23"))
		return POISON;
	if (err->sqlstate[0] == '\0' && err->kind == ERR_INVALID)
		return POISON;
	return err->kind == ERR_CONFLICT || (err->kind == ERR_TIMEOUT && err->sqlstate[0] != '\0') ? CONFLICT : AWAY;
}

/* Marks the partitions of the items with the steps of their offsets. */
static void mark(struct inbox *inbox, struct inbox_item *const *items, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const struct inbox_record *record = &items[i]->record;
		struct inbox_partition *partition = inbox_find(inbox, record->topic, record->partition);
		/* Nothing is ever left out: the first record is the one that the stored offset names. */
		CHECK(partition->touched || record->offset == partition->next || record->offset == partition->gap);
		partition->touched = true;
		partition->step_next = record->offset + 1;
		partition->step_ce_id = record->event.id;
	}
}

static void unmark(struct inbox *inbox, struct inbox_item *const *items, size_t len, bool applied)
{
	for (size_t i = 0; i < len; i++) {
		struct inbox_partition *partition = inbox_find(inbox, items[i]->record.topic, items[i]->record.partition);
		if (!partition->touched)
			continue;
		partition->touched = false;
		if (!applied)
			continue;
		partition->next = partition->step_next;
		if (partition->gap < partition->next) /* another half may begin there */
			partition->gap = -1;
		(void)snprintf(partition->last_ce_id, sizeof(partition->last_ce_id), "%s",
					   partition->step_ce_id); /* same size */
	}
}

/* Leaves the records of the items in inbox->records. */
static bool asks_first(struct inbox *inbox, struct inbox_item *const *items, size_t len)
{
	const struct inbox_handler *handler = &inbox->options.handler;
	for (size_t i = 0; i < len; i++)
		inbox->records[i] = &items[i]->record;
	return handler->asks_first != NULL && handler->asks_first(handler->ctx, inbox->records, len);
}

/* `letter`: the reason why the one item goes to the dead letters instead of to the handler. */
static enum outcome run_transaction(struct inbox *inbox, struct inbox_item *const *items, size_t len,
									const struct error *letter, struct error *err)
{
	const struct inbox_handler *handler = &inbox->options.handler;
	bool asks = asks_first(inbox, items, len) && letter == NULL;
	CLEANUP(inbox_step_release) struct inbox_step step;
	if (inbox_begin(inbox, &step, asks, err) < 0)
		return AWAY;
	int applied = letter != NULL ? inbox_dead_letter(inbox, items[0], letter, err)
								 : handler->apply(handler->ctx, inbox->conn, inbox->records, len, err);
	if (applied == 0 && pg_in_transaction(inbox->conn))
		applied = pg_commit(inbox->conn, err);
	if (applied == 0)
		return APPLIED;
	if (inbox_moved(inbox, err))
		return MOVED;
	/* What fails before the records are looked at, or without looking at them, is never theirs. */
	enum outcome outcome = outcome_of(err);
	return outcome == POISON && (letter != NULL || pg_opening_failed(inbox->conn)) ? AWAY : outcome;
}

static enum outcome transact(struct inbox *inbox, struct inbox_item *const *items, size_t len,
							 const struct error *letter, struct error *err)
{
	*err = (struct error)ERROR_INIT;
	mark(inbox, items, len);
	enum outcome outcome = run_transaction(inbox, items, len, letter, err);
	unmark(inbox, items, len, outcome == APPLIED);
	if (outcome != APPLIED)
		pg_rollback(inbox->conn);
	atomic_store(&inbox->database_up, outcome != AWAY);
	return outcome;
}

/* Lag: by the broker's clock against ours, which is only shown and alarmed about. */
static void watch_lag(struct inbox *inbox, const struct inbox_record *record)
{
	int64_t lag_ms = clock_wall_us() / 1000 - record->append_ms;
	if (inbox->options.lag_seconds != NULL)
		metric_set(inbox->options.lag_seconds, lag_ms > 0 ? lag_ms / 1000 : 0);
	const struct topic *topic = topic_find(record->topic);
	if (topic == NULL || record->append_ms <= 0 || lag_ms < topic->retention_ms / 2 ||
		clock_boot_ms() < inbox->lag_alarm_ms)
		return;
	inbox->lag_alarm_ms = clock_boot_ms() + LAG_ALARM_EVERY_MS;
	log_error("inbox: records are applied later than half of their retention", "topic", record->topic, "partition",
			  LOG_INT(record->partition), "lag_seconds", LOG_INT(lag_ms / 1000), NULL);
}

static void committed(struct inbox *inbox, struct inbox_item *const *items, size_t len)
{
	const struct inbox_handler *handler = &inbox->options.handler;
	metric_add(&inbox_records_total, (int64_t)len);
	metric_add(&inbox_batches_total, 1);
	watch_lag(inbox, &items[len - 1]->record);
	if (handler->committed != NULL)
		handler->committed(handler->ctx, inbox->records, len);
}

/* A little longer and less regular each time, so that two instances do not meet again. */
static void pause_after_conflict(int conflicts)
{
	clock_pause_ms(5 + random_below(10U << conflicts));
}

static enum outcome bury(struct inbox *inbox, struct inbox_item *const *items, const struct error *reason,
						 struct error *err)
{
	const struct inbox_record *record = &items[0]->record;
	log_error("inbox: dead letter", "consumer", inbox->options.consumer, "topic", record->topic, "partition",
			  LOG_INT(record->partition), "offset", LOG_INT(record->offset), "ce_id", record->event.id, "error",
			  reason->message, "sqlstate", reason->sqlstate, NULL);
	enum outcome outcome = transact(inbox, items, 1, reason, err);
	if (outcome == APPLIED)
		metric_add(&inbox_dead_letters_total, 1);
	return outcome;
}

/* Too much for one transaction, or one of them is poison. */
static bool goes_by_halves(enum outcome outcome, int conflicts, size_t len, const struct error *err)
{
	bool takes_too_long = outcome == CONFLICT && err->kind == ERR_TIMEOUT && conflicts >= MAX_TIMEOUTS;
	return len > 1 && (outcome == POISON || takes_too_long);
}

/* All of the items, in order. Anything but APPLIED: what is not applied must be read again. */
static enum outcome apply(struct inbox *inbox, struct inbox_item *const *items, size_t len, struct error *err)
{
	bool poison_seen = false;
	for (int conflicts = 0;;) {
		enum outcome outcome = transact(inbox, items, len, NULL, err);
		if (outcome == APPLIED) {
			committed(inbox, items, len);
			return APPLIED;
		}
		if (goes_by_halves(outcome, conflicts, len, err)) {
			outcome = apply(inbox, items, len / 2, err);
			return outcome != APPLIED ? outcome : apply(inbox, items + len / 2, len - len / 2, err);
		}
		if (outcome == POISON && poison_seen) {
			struct error reason = *err;
			return bury(inbox, items, &reason, err);
		}
		/* Twice, alone: a unique key that another instance was just writing is no poison. */
		poison_seen |= outcome == POISON;
		if (outcome == CONFLICT && ++conflicts <= MAX_CONFLICTS && !atomic_load(&inbox->stopping)) {
			if (conflicts == 1 && str_starts(err->sqlstate, "KN"))
				continue; /* an expectation of the handler's: there is nobody to give way to, and no trouble to count */
			metric_add(&inbox_retries_total, 1);
			pause_after_conflict(conflicts);
			continue;
		}
		if (outcome != POISON)
			return outcome;
	}
}

/* What is applied now: all that is in hand, or only what somebody waits for, when that takes a round trip less than
 * together with what may wait. */
static size_t choose(struct inbox *inbox)
{
	if (!inbox->urgent || inbox->len >= BUSY_RECORDS)
		return inbox->len;
	size_t urgent = inbox_urgent_first(inbox);
	return asks_first(inbox, inbox->items, urgent) ? inbox->len : urgent;
}

/* The first `len` of the items. */
static void apply_first(struct inbox *inbox, size_t len)
{
	struct error err = ERROR_INIT;
	int64_t began_us = clock_boot_us();
	if (len >= BUSY_RECORDS)
		inbox->busy_until_ms = began_us / 1000 + BUSY_MS;
	enum outcome outcome = apply(inbox, inbox->items, len, &err);
	int64_t took_us = clock_boot_us() - began_us, rest_ms = REST * took_us / 1000;
	metric_observe_us(&inbox_batch_seconds, took_us);
	inbox->rest_until_ms = clock_boot_ms() + (rest_ms < REST_MAX_MS ? rest_ms : REST_MAX_MS);
	if (outcome == APPLIED) {
		backoff_clear(&inbox->backoff);
		inbox_drop_applied(inbox, len);
		return;
	}
	metric_add(outcome == MOVED ? &inbox_offsets_moved_total : &inbox_retries_total, 1);
	log_warn(outcome == MOVED ? "inbox: the offsets have moved, reading them again" : "inbox: trying again", "consumer",
			 inbox->options.consumer, "error", err.message, "sqlstate", err.sqlstate, NULL);
	/* At once the first time that only the offsets have moved; then with patience. */
	int last_ms = inbox->backoff.now_ms, next_ms = backoff_next(&inbox->backoff);
	inbox_retake(inbox, outcome == MOVED ? last_ms : next_ms);
}

void inbox_apply_items(struct inbox *inbox)
{
	apply_first(inbox, choose(inbox));
	/* What gave way goes when its time has come, however many come that would be first again. */
	if (inbox->len > 0 && clock_left_ms(inbox->linger_until_ms) == 0)
		apply_first(inbox, inbox->len);
}
