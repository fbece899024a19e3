#include "build-service/barrier.h"

#include <string.h>

#include "build-service/service.h"
#include "common/kafka/topics.h"
#include "kiln_build_service_sql.h"

static const char *const topics[BARRIER_TOPICS] = {TOPIC_BUILD_REQUESTS, TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};

void barrier_clear(struct barrier *barrier)
{
	memset(barrier, 0, sizeof(*barrier));
}

void barrier_want(struct barrier *barrier, enum barrier_topic topic, const char *key)
{
	const struct topic *known = topic_find(topics[topic]);
	CHECK(known->partitions == BARRIER_PARTITIONS);
	barrier->wanted[topic][topic_partition(known, key, strlen(key))] = true;
}

int barrier_set(struct barrier *barrier, struct inbox *inbox, struct error *err)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++) {
			if (barrier->wanted[topic][partition] &&
				inbox_end_offset(inbox, topics[topic], partition, &barrier->end[topic][partition], err) < 0)
				return -1;
		}
	}
	return 0;
}

static int topic_index(const char *name)
{
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		if (strcmp(topics[topic], name) == 0)
			return topic;
	}
	return -1;
}

int barrier_passed(const struct barrier *barrier, struct pg_conn *conn, bool *ret_passed, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(conn, &sql_read_offsets, PG_PARAMS(CONSUMER_NAME), 1, &rows, err) < 0)
		return -1;
	size_t wanted = 0, reached = 0;
	for (int topic = 0; topic < BARRIER_TOPICS; topic++) {
		for (int partition = 0; partition < BARRIER_PARTITIONS; partition++)
			wanted += barrier->wanted[topic][partition];
	}
	for (int row = 0; row < PQntuples(rows); row++) {
		int topic = topic_index(pg_text(rows, row, "topic"));
		int64_t partition = pg_int(rows, row, "partition", -1);
		if (topic >= 0 && partition >= 0 && partition < BARRIER_PARTITIONS && barrier->wanted[topic][partition])
			reached += pg_int(rows, row, "next_offset", 0) >= barrier->end[topic][partition];
	}
	*ret_passed = reached == wanted;
	return 0;
}
