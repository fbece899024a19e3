/* The offset rows: where to start, whether the log is still the one that was read, and the compare-and-set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/inbox_private.h"
#include "common/base/str.h"
#include "kiln_pg_sql.h"

#define BROKER_TIMEOUT_MS 5000
#define MAX_PARTITIONS 4096
#define STOPPED_LOOK_MS 10000
/* A new leader is found in less. Then those that have none do not hold up the others any more. */
#define UNTOLD_PATIENCE_MS 10000
#define UNTOLD_TIMEOUT_MS 1000 /* for one of them: more than a fetch under way keeps the connection for */
#define UNTOLD_MAX 64          /* that take turns, with those that are too short */
#define UNTOLD_ASKED 2         /* in a look */
/* A broker that stood still takes itself for the leader for a moment, and tells the end that it had known. */
#define TOO_SHORT_LOOK_MS 1000

static void show_stopped(struct inbox *inbox)
{
	inbox->stopped = 0;
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		for (int32_t p = 0; p < inbox->topics[t].len; p++)
			inbox->stopped += inbox_is_stopped(&inbox->topics[t].partitions[p]);
	}
	inbox_show(&inbox_stopped_partitions, &inbox->stopped_shown, inbox->stopped);
}

void inbox_stop_partition(struct inbox *inbox, struct inbox_partition *partition, const char *reason)
{
	log_error("inbox: PARTITION STOPPED; see kiln-migrate rewind", "consumer", inbox->options.consumer, "topic",
			  inbox->topics[partition->topic].name, "partition", LOG_INT(partition->partition), "next_offset",
			  LOG_INT(partition->next), "reason", reason, NULL);
	partition->state = INBOX_STOPPED;
	partition->verify = false;
	show_stopped(inbox);
}

/* Is it, with the record before the offset, by which it is told from another log? */
static bool is_long_again(const struct inbox_partition *partition, int64_t low, int64_t high)
{
	return partition->too_short && low < partition->next && high >= partition->next;
}

/* The place of a partition, made when it is seen first. NULL when the topic is not ours. */
static struct inbox_partition *place_of(struct inbox *inbox, const char *name, int32_t number)
{
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		struct inbox_topic *topic = &inbox->topics[t];
		if (strcmp(topic->name, name) != 0)
			continue;
		CHECK(number >= 0 && number < MAX_PARTITIONS);
		if (number >= topic->len) {
			topic->partitions = xreallocarray(topic->partitions, (size_t)number + 1, sizeof(topic->partitions[0]));
			for (int32_t p = topic->len; p <= number; p++)
				topic->partitions[p] = (struct inbox_partition){.topic = (int32_t)t, .partition = p, .gap = -1};
			topic->len = number + 1;
		}
		return &topic->partitions[number];
	}
	return NULL;
}

/* The row of a partition, or -1. */
static int row_of(const PGresult *rows, const char *topic, int32_t partition)
{
	for (int row = 0; row < PQntuples(rows); row++) {
		if (pg_int(rows, row, "partition", -1) == partition && strcmp(pg_text(rows, row, "topic"), topic) == 0)
			return row;
	}
	return -1;
}

static bool same_ce_id(const struct inbox_partition *partition, const char *ce_id)
{
	return strcmp(partition->last_ce_id, ce_id == NULL ? "" : ce_id) == 0;
}

/* What the row says goes into `partition`. */
static void take_row(struct inbox_partition *partition, const PGresult *rows, int row)
{
	const char *ce_id = pg_text(rows, row, "last_ce_id");
	partition->next = pg_int(rows, row, "next_offset", 0);
	partition->read = partition->next;
	partition->verify = partition->too_short = false;
	(void)snprintf(partition->last_ce_id, sizeof(partition->last_ce_id), "%s",
				   ce_id == NULL ? "" : ce_id); /* was written by us */
}

/* Decides about one partition: docs/protocol.md section 2. NULL = good, else why it stops. */
static const char *judge(struct inbox_partition *partition, const char *stored_cluster, const char *cluster,
						 int64_t low, int64_t high, char *text, size_t size)
{
	long long next = partition->next;
	if (stored_cluster != NULL && strcmp(stored_cluster, cluster) != 0) {
		(void)snprintf(text, size, "cluster %s, but the offset is of cluster %s", cluster, stored_cluster);
	} else if (low > next) {
		(void)snprintf(text, size, "log start %lld is above the offset %lld: records were lost unread", (long long)low,
					   next);
	} else if (high < next) {
		(void)snprintf(text, size, "log end %lld is below the offset %lld: the log was truncated", (long long)high,
					   next);
		partition->too_short = partition->last_ce_id[0] != '\0'; /* without one to compare with it stays stopped */
	} else {
		return NULL;
	}
	return text;
}

static void start_partition(struct inbox *inbox, struct inbox_partition *partition, const PGresult *rows, int row,
							const char *cluster, int64_t low, int64_t high, struct kafka_position *position)
{
	char text[256];
	bool was_mine = partition->state != INBOX_FOREIGN;
	/* What stopped it is still so, as long as nobody has touched the row. */
	bool still = partition->state == INBOX_STOPPED && !is_long_again(partition, low, high) &&
				 (row < 0 || (partition->next == pg_int(rows, row, "next_offset", 0) &&
							  same_ce_id(partition, pg_text(rows, row, "last_ce_id"))));
	position->offset = KAFKA_OFFSET_STOP;
	if (low < 0) {
		if (row >= 0)
			take_row(partition, rows, row);
		log_warn("inbox: no broker tells where a log begins and ends; it is not read until one does", "consumer",
				 inbox->options.consumer, "topic", position->topic, "partition", LOG_INT(position->partition), NULL);
		partition->state = INBOX_UNTOLD;
	} else if (!still && row < 0) {
		partition->next = 0;
		partition->last_ce_id[0] = '\0';
		inbox_stop_partition(inbox, partition, "it has no row in consumer_offsets: kiln-migrate makes them");
	} else if (!still) {
		take_row(partition, rows, row);
		partition->state = INBOX_MINE;
		const char *reason = judge(partition, pg_text(rows, row, "cluster_id"), cluster, low, high, text, sizeof(text));
		if (reason != NULL) {
			inbox_stop_partition(inbox, partition, reason);
			if (partition->too_short)
				inbox->stopped_look_ms = clock_boot_ms() + TOO_SHORT_LOOK_MS;
		} else {
			/* The record before the offset tells whether this is still the same log. Log start = offset: nothing to
			 * compare. */
			partition->verify = low < partition->next;
			position->offset = partition->next - (partition->verify ? 1 : 0);
		}
	}
	if (!was_mine && inbox->options.handler.taken != NULL)
		inbox->options.handler.taken(inbox->options.handler.ctx, inbox->topics[partition->topic].name,
									 partition->partition);
}

/* One by one; those that are not told become -1. When most are, Kafka is away. */
static int read_each_log(struct inbox *inbox, const struct kafka_position *positions, size_t count, int64_t *lows,
						 int64_t *highs, struct error *err)
{
	size_t untold = 0;
	for (size_t i = 0; i < count; i++) {
		if (kafka_watermarks_of(inbox->consumer, &positions[i], 1, UNTOLD_TIMEOUT_MS, &lows[i], &highs[i], err) == 0)
			continue;
		lows[i] = highs[i] = -1;
		if (++untold > count / 2 || atomic_load(&inbox->stopping)) {
			inbox->untold_since_ms = 0;
			return -1;
		}
	}
	if (untold == 0)
		inbox->untold_since_ms = 0;
	return 0;
}

static bool is_untold(const struct inbox_partition *partition)
{
	return partition->state == INBOX_UNTOLD;
}

static bool waits_for_its_log(const struct inbox_partition *partition)
{
	return is_untold(partition) || (partition->state == INBOX_STOPPED && partition->too_short);
}

static size_t find_partitions(const struct inbox *inbox, bool (*is_it)(const struct inbox_partition *),
							  const struct inbox_partition **ret_found, size_t max)
{
	size_t len = 0;
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		for (int32_t p = 0; p < inbox->topics[t].len && len < max; p++) {
			if (is_it(&inbox->topics[t].partitions[p]))
				ret_found[len++] = &inbox->topics[t].partitions[p];
		}
	}
	return len;
}

static int read_logs(struct inbox *inbox, const struct kafka_position *positions, size_t count, int64_t *lows,
					 int64_t *highs, struct error *err)
{
	const struct inbox_partition *one;
	if (find_partitions(inbox, is_untold, &one, 1) > 0) /* what asks for all at once would wait for it in vain */
		return read_each_log(inbox, positions, count, lows, highs, err);
	if (kafka_watermarks_of(inbox->consumer, positions, count, BROKER_TIMEOUT_MS, lows, highs, err) == 0) {
		inbox->untold_since_ms = 0;
		return 0;
	}
	if (inbox->untold_since_ms == 0)
		inbox->untold_since_ms = clock_boot_ms();
	if (clock_boot_ms() - inbox->untold_since_ms < UNTOLD_PATIENCE_MS)
		return -1;
	return read_each_log(inbox, positions, count, lows, highs, err);
}

int inbox_read_offsets(struct inbox *inbox, struct kafka_position *positions, size_t count, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(inbox->conn, &sql_offsets_read, PG_PARAMS(inbox->options.consumer), 1, &rows, err) < 0)
		return -1;
	const char *cluster = kafka_cluster_id(inbox->consumer, BROKER_TIMEOUT_MS);
	if (cluster == NULL)
		return error_set(err, ERR_UNAVAILABLE, "kafka: no cluster id yet");
	CLEANUP(free_p) int64_t *lows = xcalloc(count, sizeof(*lows));
	CLEANUP(free_p) int64_t *highs = xcalloc(count, sizeof(*highs));
	if (read_logs(inbox, positions, count, lows, highs, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct inbox_partition *partition = place_of(inbox, positions[i].topic, positions[i].partition);
		CHECK(partition != NULL); /* the group only has our topics */
		start_partition(inbox, partition, rows, row_of(rows, positions[i].topic, positions[i].partition), cluster,
						lows[i], highs[i], &positions[i]);
	}
	inbox->paused = false;
	show_stopped(inbox);
	return 0;
}

static bool has_its_log(struct inbox *inbox, const struct inbox_partition *partition)
{
	const struct kafka_position position = {.topic = inbox->topics[partition->topic].name,
											.partition = partition->partition};
	int64_t low, high;
	struct error err = ERROR_INIT;
	if (kafka_watermarks_of(inbox->consumer, &position, 1, UNTOLD_TIMEOUT_MS, &low, &high, &err) < 0)
		return false;
	if (is_untold(partition))
		return true;
	if (!is_long_again(partition, low, high))
		return false;
	log_info("inbox: a log that ended below its offset does not any more, and is read on if it is still the same",
			 "consumer", inbox->options.consumer, "topic", position.topic, "partition", LOG_INT(position.partition),
			 NULL);
	return true;
}

/* Some of them a look, each in its turn: a question keeps the thread. */
static bool one_has_its_log(struct inbox *inbox)
{
	const struct inbox_partition *waiting[UNTOLD_MAX];
	size_t len = find_partitions(inbox, waits_for_its_log, waiting, UNTOLD_MAX);
	for (size_t i = 0; i < len && i < UNTOLD_ASKED; i++) {
		if (has_its_log(inbox, waiting[inbox->untold_turn++ % len]))
			return true;
	}
	return false;
}

static bool has_changed_row(struct inbox *inbox)
{
	struct error err = ERROR_INIT;
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(inbox->conn, &sql_offsets_read, PG_PARAMS(inbox->options.consumer), 1, &rows, &err) < 0)
		return false; /* the next thing that needs the database says so */
	for (int row = 0; row < PQntuples(rows); row++) {
		const struct inbox_partition *partition =
			inbox_find(inbox, pg_text(rows, row, "topic"), (int32_t)pg_int(rows, row, "partition", -1));
		if (partition == NULL || partition->state != INBOX_STOPPED)
			continue;
		if (partition->next != pg_int(rows, row, "next_offset", 0) ||
			!same_ce_id(partition, pg_text(rows, row, "last_ce_id"))) {
			log_info("inbox: the offset of a stopped partition was changed", "topic", pg_text(rows, row, "topic"),
					 "partition", pg_text(rows, row, "partition"), NULL);
			return true;
		}
	}
	return false;
}

void inbox_look_at_stopped(struct inbox *inbox)
{
	if (inbox->stopped == 0 || clock_boot_ms() < inbox->stopped_look_ms || !pg_connected(inbox->conn))
		return;
	inbox->stopped_look_ms = clock_boot_ms() + STOPPED_LOOK_MS;
	if (has_changed_row(inbox) || one_has_its_log(inbox))
		inbox_retake(inbox, 0);
}

static void step_add(struct inbox_step *step, const char *topic, const struct inbox_partition *partition)
{
	pg_array_add(&step->topics, topic);
	pg_array_add_int(&step->partitions, partition->partition);
	pg_array_add_int(&step->expected, partition->next);
	pg_array_add_int(&step->next, partition->step_next);
	pg_array_add(&step->ce_ids, partition->step_ce_id);
}

static void step_init(struct inbox_step *step)
{
	struct pg_array *const arrays[] = {&step->topics, &step->partitions, &step->expected, &step->next, &step->ce_ids};
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		pg_array_init(arrays[i], 2UL * 1024 * 1024); /* MAX_PARTITIONS of the longest ids */
}

void inbox_step_release(struct inbox_step *step)
{
	struct pg_array *const arrays[] = {&step->topics, &step->partitions, &step->expected, &step->next, &step->ce_ids};
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		pg_array_release(arrays[i]);
}

int inbox_begin(struct inbox *inbox, struct inbox_step *step, bool ahead, struct error *err)
{
	step_init(step);
	for (size_t t = 0; t < inbox->options.topics_len; t++) {
		for (int32_t p = 0; p < inbox->topics[t].len; p++) {
			if (inbox->topics[t].partitions[p].touched)
				step_add(step, inbox->topics[t].name, &inbox->topics[t].partitions[p]);
		}
	}
	const char *const params[INBOX_STEP_PARAMS] = {inbox->options.consumer,
												   pg_array_text(&step->topics),
												   pg_array_text(&step->partitions),
												   pg_array_text(&step->expected),
												   pg_array_text(&step->next),
												   pg_array_text(&step->ce_ids),
												   kafka_cluster_id(inbox->consumer, 0)};
	memcpy(step->params, params, sizeof(params));
	const struct pg_opening opening = {
		.statement = ahead ? &sql_offsets_advance : &sql_offsets_advance_or_fail,
		.params = step->params,
		.params_len = INBOX_STEP_PARAMS,
		.ahead = ahead,
		.rows = (int64_t)step->topics.len,
	};
	return pg_begin_with(inbox->conn, &opening, err);
}

bool inbox_moved(const struct inbox *inbox, const struct error *err)
{
	return pg_opening_failed(inbox->conn) && (str_equal(err->sqlstate, "KN001") || err->sqlstate[0] == '\0');
}
