/* What integration tests share. Everything here fails the running test (cmocka) instead of returning errors. */
#pragma once

/* cmocka wants these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/kafka/config.h"
#include "common/kafka/consumer.h"
#include "common/kafka/producer.h"
#include "common/pg/pg.h"

#define assert_ok(call, err)                                                                                           \
	do {                                                                                                               \
		if ((call) < 0)                                                                                                \
			fail_msg("%s: %s", #call, (err).message);                                                                  \
	} while (0)

/* Repeats `condition` until it holds; fails the test after `ms`. */
#define assert_becomes(condition, ms)                                                                                  \
	do {                                                                                                               \
		int64_t until_ = test_now_ms() + (ms);                                                                         \
		while (!(condition)) {                                                                                         \
			if (test_now_ms() > until_)                                                                                \
				fail_msg("not within %d ms: %s", (int)(ms), #condition);                                               \
			test_pause();                                                                                              \
		}                                                                                                              \
	} while (0)

int64_t test_now_ms(void);
void test_pause(void); /* between two looks: 5 ms */

/* "prefix-<random>", heap. */
char *test_name(const char *prefix);

/* From KILN_KAFKA_BROKERS. */
struct kafka_settings test_kafka(void);
/* Stops the private broker, and returns when none of its threads runs any more; the test is skipped where it is not
 * ours. */
void test_freeze_kafka(void);
void test_thaw_kafka(void); /* also when it is not frozen */
/* Makes a topic; one that exists will do. `configs` are name, value, …, NULL. */
void test_topic(const char *name, int partitions, const char *const *configs);
/* Drops the records below `offset` (DeleteRecords): the log start moves. */
void test_delete_records(const char *topic, int partition, int64_t offset);
void test_delete_topic(const char *topic);
struct kafka_producer *test_producer(void);
/* Writes one record and waits. ce_id is `id`. */
void test_send(struct kafka_producer *producer, const char *topic, int32_t partition, const char *key, const char *id,
			   const char *type, const char *data);
int64_t test_end_offset(const char *topic, int32_t partition);

/* Reads a partition from its start up to its present end, in order. */
typedef void test_record(void *ctx, const rd_kafka_message_t *message);
void test_read_partition(const char *topic, int32_t partition, test_record *each, void *ctx);
/* A header of a record; fails when it is missing. Valid as long as the message. */
const char *test_header(const rd_kafka_message_t *message, const char *name);

/* A database of one's own with all migrations. */
struct test_database {
	char *name;
	char *url;
};
void test_database_init(struct test_database *database);
void test_database_release(struct test_database *database); /* drops it */
struct pg_settings test_pg(const struct test_database *database);

/* Runs SQL text on a connection of its own. */
void test_sql(const struct test_database *database, const char *sql);
/* The first column of the first row as a number; the statement has no parameters. */
int64_t test_sql_int(const struct test_database *database, const char *sql);
/* The same as text, heap; NULL for SQL NULL or no row. */
char *test_sql_text(const struct test_database *database, const char *sql);

/* A new role that may read and change the table, and the database's URL for it; both heap. */
char *test_role(const struct test_database *database, const char *table, char **ret_url);
void test_drop_role(const struct test_database *database, const char *role);

/* Rows with offset 0 for all partitions of a topic. */
void test_offset_rows(const struct test_database *database, const char *consumer, const char *topic, int partitions);
