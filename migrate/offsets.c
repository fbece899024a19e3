#include "migrate/offsets.h"

#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "kiln_migrate_sql.h"

static const struct {
	const char *consumer;
	const char *topic;
} readers[] = {
	{"kiln-build-service", TOPIC_BUILD_REQUESTS}, {"kiln-build-service", TOPIC_BUILD_RESULTS},
	{"kiln-build-service", TOPIC_WORKER_EVENTS},  {"kiln-build-service", TOPIC_CI_EVENTS},
	{"kiln-log-store", TOPIC_BUILD_LOGS},         {"kiln-notifier", TOPIC_BUILD_EVENTS},
};

int offsets_insert(struct pg_conn *conn, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		const char *partitions = LOG_INT(topic_find(readers[i].topic)->partitions);
		if (pg_query(conn, &sql_insert_offsets, PG_PARAMS(readers[i].consumer, readers[i].topic, partitions), 3, NULL,
					 err) < 0)
			return -1;
	}
	return 0;
}
