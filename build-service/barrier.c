#include "build-service/barrier.h"

#include <string.h>

#include "build-service/service.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

static const char *const topics[BARRIER_TOPICS] = {TOPIC_BUILD_REQUESTS, TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};

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

void barrier_clear(struct barrier *barrier)
{
	barrier->wanted = barrier->passed = barrier->unknown = (struct partitions){{0}};
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

/* A fetch under way may keep each question waiting for half a second: one by one, a worker with many attempts would
 * take seconds, on the thread that applies everything. Those that answered the last time are asked for together; when
 * one of them does not, each is asked for itself. */
static struct partitions read_together(struct barrier *barrier, struct inbox *inbox)
{
	enum { ALL = BARRIER_TOPICS * BARRIER_PARTITIONS };
	struct kafka_position positions[ALL];
	int64_t ends[ALL];
	size_t len = 0;
	struct partitions told = {{0}};
	for (int place = 0; place < ALL; place++) {
		int topic = place / BARRIER_PARTITIONS, partition = place % BARRIER_PARTITIONS;
		if (has(&barrier->wanted, topic, partition) && barrier->end[topic][partition].pause_ms == 0)
			positions[len++] = (struct kafka_position){.topic = topics[topic], .partition = partition};
	}
	struct error ignored = ERROR_INIT;
	if (len < 2 || inbox_end_offsets(inbox, positions, len, END_OFFSET_ASK_MS, ends, &ignored) < 0)
		return told;
	for (size_t i = 0; i < len; i++) {
		int topic = topic_index(positions[i].topic);
		barrier->end[topic][positions[i].partition].value = ends[i];
		put(&told, topic, positions[i].partition);
	}
	return told;
}

/* From where the last look gave up, so that each has its turn however many do not answer. */
static void read_ends(struct barrier *barrier, struct inbox *inbox)
{
	const struct partitions told = read_together(barrier, inbox);
	struct end_offset_look look = {0};
	int first = barrier->ask_first;
	for (int i = 0; i < BARRIER_TOPICS * BARRIER_PARTITIONS; i++) {
		int place = (first + i) % (BARRIER_TOPICS * BARRIER_PARTITIONS);
		int topic = place / BARRIER_PARTITIONS, partition = place % BARRIER_PARTITIONS;
		if (!has(&barrier->wanted, topic, partition) || has(&told, topic, partition))
			continue;
		bool had_given_up = end_offset_gave_up(&look);
		if (!end_offset_ask(&barrier->end[topic][partition], &look, inbox, topics[topic], partition))
			put(&barrier->unknown, topic, partition);
		if (!had_given_up && end_offset_gave_up(&look))
			barrier->ask_first = place + 1;
	}
}

int barrier_set(struct barrier *barrier, struct inbox *inbox, struct pg_conn *conn, struct error *err)
{
	int64_t stored[BARRIER_TOPICS][BARRIER_PARTITIONS] = {{0}};
	if (read_stored(stored, conn, err) < 0)
		return -1;
	read_ends(barrier, inbox);
	barrier->over_ms = clock_boot_ms() + BARRIER_WAIT_MS;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++) {
			/* Read before it: the log has lost its end. What is in it now has not been applied, whatever its offsets. */
			if (has(&barrier->wanted, topic, partition) &&
				stored[topic][partition] > barrier->end[topic][partition].value)
				put(&barrier->unknown, topic, partition);
		}
	}
	return 0;
}

int barrier_look(struct barrier *barrier, struct pg_conn *conn, struct error *err)
{
	int64_t stored[BARRIER_TOPICS][BARRIER_PARTITIONS];
	memset(stored, -1, sizeof(stored)); /* without a row: nothing is */
	if (read_stored(stored, conn, err) < 0)
		return -1;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++) {
			if (has(&barrier->wanted, topic, partition) && !has(&barrier->unknown, topic, partition) &&
				stored[topic][partition] >= barrier->end[topic][partition].value)
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
	return !waits || clock_boot_ms() >= barrier->over_ms;
}
