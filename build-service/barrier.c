#include "build-service/barrier.h"

#include <string.h>

#include "build-service/service.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

static const char *const topics[BARRIER_TOPICS] = {TOPIC_BUILD_REQUESTS, TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};

void partition_ends_init(struct partition_ends *ends, struct kafka_producer *producer)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++)
		ends->of[topic] = read_barriers_new(producer, topics[topic], SERVICE_SOURCE);
}

void partition_ends_release(struct partition_ends *ends)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++)
		read_barriers_free(ends->of[topic]);
}

static bool has(const struct partitions *partitions, int topic, int partition)
{
	return (partitions->of[topic] >> partition & 1) != 0;
}

static void put(struct partitions *partitions, int topic, int partition)
{
	partitions->of[topic] = (uint16_t)(partitions->of[topic] | 1U << partition);
}

void partitions_add(struct partitions *partitions, enum barrier_topic topic, const char *key)
{
	const struct topic *known = topic_find(topics[topic]);
	CHECK(known->partitions == BARRIER_PARTITIONS);
	put(partitions, (int)topic, topic_partition(known, key, strlen(key)));
}

void partitions_add_all(struct partitions *partitions, enum barrier_topic topic)
{
	for (int partition = 0; partition < BARRIER_PARTITIONS; partition++)
		put(partitions, (int)topic, partition);
}

void barrier_init(struct barrier *barrier, const struct partition_ends *ends)
{
	*barrier = (struct barrier){.ends = ends};
}

void barrier_clear(struct barrier *barrier)
{
	barrier->wanted = barrier->known = barrier->passed = barrier->unknown = (struct partitions){{0}};
	barrier->timed_out = false;
}

void barrier_want(struct barrier *barrier, const struct partitions *partitions)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++)
		barrier->wanted.of[topic] |= partitions->of[topic];
}

static int topic_index(const char *name)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		if (strcmp(topics[topic], name) == 0)
			return topic;
	}
	return -1;
}

/* How far each partition is applied; those that have no row keep what they have. */
static int read_stored(int64_t stored[BARRIER_TOPICS][BARRIER_PARTITIONS], struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(conn, &sql_read_offsets, PG_PARAMS(CONSUMER_NAME), 1, &rows, err) < 0)
		return -1;
	for (int row = 0; row < PQntuples(rows); row++) {
		int topic = topic_index(pg_text(rows, row, "topic"));
		int64_t partition = pg_int(rows, row, "partition", -1);
		if (topic >= 0 && partition >= 0 && partition < BARRIER_PARTITIONS)
			stored[topic][partition] = pg_int(rows, row, "next_offset", 0);
	}
	return 0;
}

/* A record of its own for each, but for those of which one has failed a while ago. */
static void ask(struct barrier *barrier, int topic, int partition, int64_t applied)
{
	struct barrier_end *end = &barrier->end[topic][partition];
	if (!partition_pause_is_over(&end->pause)) {
		put(&barrier->unknown, topic, partition);
		return;
	}
	end->asked = read_barrier_ask(barrier->ends->of[topic], partition);
	end->applied = applied;
}

int barrier_set(struct barrier *barrier, struct pg_conn *conn, struct error *err)
{
	int64_t stored[BARRIER_TOPICS][BARRIER_PARTITIONS] = {{0}};
	if (read_stored(stored, conn, err) < 0)
		return -1;
	barrier->over_ms = clock_boot_ms() + BARRIER_WAIT_MS;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++) {
			if (has(&barrier->wanted, topic, partition))
				ask(barrier, topic, partition, stored[topic][partition]);
		}
	}
	return 0;
}

static void give_up(struct barrier *barrier, int topic, int partition, const char *reason)
{
	partition_pause_begin(&barrier->end[topic][partition].pause, topics[topic], partition, reason);
	put(&barrier->unknown, topic, partition);
}

/* Whether its record is acknowledged now. */
static void look_for_end(struct barrier *barrier, int topic, int partition)
{
	struct barrier_end *end = &barrier->end[topic][partition];
	struct error err = ERROR_INIT;
	int rc = read_barrier_wait(barrier->ends->of[topic], &end->asked, 0, &end->value, &err);
	if (rc < 0) {
		give_up(barrier, topic, partition, err.message);
	} else if (rc == 0 && barrier->timed_out) {
		give_up(barrier, topic, partition, "nobody has acknowledged the record that was to tell it");
	} else if (rc > 0 && end->applied > end->value) {
		/* What is in it now has not been applied, whatever its offsets. */
		give_up(barrier, topic, partition, "the log has lost its end");
	} else if (rc > 0) {
		partition_pause_clear(&end->pause);
		put(&barrier->known, topic, partition);
	}
}

int barrier_look(struct barrier *barrier, struct pg_conn *conn, struct error *err)
{
	int64_t stored[BARRIER_TOPICS][BARRIER_PARTITIONS];
	memset(stored, -1, sizeof(stored)); /* without a row: nothing is */
	if (read_stored(stored, conn, err) < 0)
		return -1;
	barrier->timed_out = clock_boot_ms() >= barrier->over_ms;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++) {
			if (!has(&barrier->wanted, topic, partition) || has(&barrier->unknown, topic, partition))
				continue;
			if (!has(&barrier->known, topic, partition))
				look_for_end(barrier, topic, partition);
			/* The record itself, too: a log that has lost its end may be as long again as what was applied of it, of
			 * other records, and is not read then (common/pg/inbox.h). */
			if (has(&barrier->known, topic, partition) &&
				stored[topic][partition] > barrier->end[topic][partition].value)
				put(&barrier->passed, topic, partition);
		}
	}
	return 0;
}

bool barrier_passed(const struct barrier *barrier, const struct partitions *partitions)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		if ((partitions->of[topic] & ~barrier->passed.of[topic]) != 0)
			return false;
	}
	return true;
}

bool barrier_is_over(const struct barrier *barrier)
{
	bool waits = false;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++)
		waits |= (barrier->wanted.of[topic] & ~barrier->passed.of[topic] & ~barrier->unknown.of[topic]) != 0;
	return !waits || barrier->timed_out;
}
