#include "inbox_member.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void member_tables(const struct test_database *database)
{
	test_sql(database,
			 "CREATE TABLE applied (topic text, partition int, record_offset bigint, ce_id text, say text);"
			 "CREATE FUNCTION take_too_long() RETURNS void LANGUAGE plpgsql AS "
			 "$$ BEGIN RAISE EXCEPTION 'it takes too long' USING ERRCODE = '57014'; END $$;"
			 "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
			 "$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;"
			 "CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON applied DEFERRABLE INITIALLY DEFERRED "
			 "FOR EACH ROW WHEN (NEW.say = '" SAY_SLOW_COMMIT "') EXECUTE FUNCTION wait()");
}

static const struct pg_statement insert = {
	.name = "applied_insert",
	.sql = "INSERT INTO applied SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[])"};
static const struct pg_statement poison = {.name = "poison",
										   .sql = "SELECT 'x'::text::int FROM applied WHERE say = $1"};

static const struct pg_statement too_much = {.name = "too_much", .sql = "SELECT take_too_long()"};

static void freeze_once(void)
{
	static bool frozen;
	if (!frozen) {
		frozen = true;
		(void)raise(SIGSTOP); /* of this thread: the stop is there before it goes on */
	}
}

static int apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err)
{
	struct member *member = ctx;
	struct pg_array columns[5];
	for (size_t i = 0; i < 5; i++)
		pg_array_init(&columns[i], 1048576);
	const char *bad_sql = NULL;
	bool invalid = false;
	bool freeze = false;
	size_t large = 0;
	for (size_t i = 0; i < count; i++) {
		pg_array_add(&columns[0], records[i]->topic);
		pg_array_add_int(&columns[1], records[i]->partition);
		pg_array_add_int(&columns[2], records[i]->offset);
		pg_array_add(&columns[3], records[i]->event.id);
		pg_array_add(&columns[4], records[i]->data);
		if (strcmp(records[i]->data, SAY_POISON_SQL) == 0)
			bad_sql = SAY_POISON_SQL;
		invalid |= strcmp(records[i]->data, SAY_POISON_INVALID) == 0 || !records[i]->legible;
		large += strcmp(records[i]->data, SAY_TOO_MUCH) == 0;
		freeze |= strcmp(records[i]->data, SAY_FREEZE) == 0;
	}
	const char *params[5];
	for (size_t i = 0; i < 5; i++)
		params[i] = pg_array_text(&columns[i]);
	int result = pg_query(tx, &insert, params, 5, NULL, err);
	for (size_t i = 0; i < 5; i++)
		pg_array_release(&columns[i]);
	if (result == 0 && bad_sql != NULL)
		result = pg_query(tx, &poison, PG_PARAMS(bad_sql), 1, NULL, err);
	if (result == 0 && invalid)
		result = error_set(err, ERR_INVALID, "says that it is invalid");
	if (result == 0 && large > 1)
		result = pg_query(tx, &too_much, NULL, 0, NULL, err);
	if (freeze)
		freeze_once();
	member->applied += (int)count;
	return result;
}

static void on_committed(void *ctx, const struct inbox_record *const *records, size_t count)
{
	(void)records;
	((struct member *)ctx)->committed += (int)count;
}

static void on_tick(void *ctx, struct pg_conn *conn)
{
	(void)conn;
	((struct member *)ctx)->ticks++;
}

static void on_taken(void *ctx, const char *topic, int32_t partition)
{
	(void)topic;
	(void)partition;
	((struct member *)ctx)->taken++;
}

static void on_lost(void *ctx, const char *topic, int32_t partition)
{
	(void)topic;
	(void)partition;
	((struct member *)ctx)->lost++;
}

static void *run(void *arg)
{
	inbox_run(((struct member *)arg)->inbox);
	return NULL;
}

static bool asks_first(void *ctx, const struct inbox_record *const *records, size_t count)
{
	(void)ctx;
	(void)records;
	return count % 2 == 0;
}

static bool is_urgent(void *ctx, const struct inbox_record *record)
{
	(void)ctx;
	return strcmp(record->data, SAY_URGENT) == 0;
}

static struct inbox_options make_options(struct member *member, const struct test_database *database,
										 const char *consumer, const char *const *topics, size_t topics_len)
{
	return (struct inbox_options){
		.consumer = consumer,
		.topics = topics,
		.topics_len = topics_len,
		.max_records = 100,
		.max_bytes = 1048576,
		.tick_ms = 50,
		.kafka = test_kafka(),
		.pg = test_pg(database),
		.handler = {.ctx = member,
					.apply = apply,
					.committed = on_committed,
					.tick = on_tick,
					.taken = on_taken,
					.lost = on_lost},
	};
}

static void start(struct member *member, const struct inbox_options *options)
{
	struct error err = ERROR_INIT;
	assert_ok(inbox_new(options, &member->inbox, &err), err);
	assert_int_equal(pthread_create(&member->thread, NULL, run, member), 0);
}

void member_start(struct member *member, const struct test_database *database, const char *consumer,
				  const char *const *topics, size_t topics_len, int call_timeout_ms)
{
	memset(member, 0, sizeof(*member));
	static _Atomic int
		count; /* every second one may send its compare-and-set ahead, and does not wait for more records */
	bool even = atomic_fetch_add(&count, 1) % 2 == 0;
	struct inbox_options options = make_options(member, database, consumer, topics, topics_len);
	options.linger_ms = even ? 0 : 10;
	options.handler.asks_first = even ? asks_first : NULL;
	options.pg.call_timeout_ms = call_timeout_ms;
	start(member, &options);
}

void member_start_patient(struct member *member, const struct test_database *database, const char *consumer,
						  const char *const *topics, size_t topics_len)
{
	memset(member, 0, sizeof(*member));
	struct inbox_options options = make_options(member, database, consumer, topics, topics_len);
	options.linger_ms = 60000;
	options.handler.urgent = is_urgent;
	start(member, &options);
}

void member_stop(struct member *member)
{
	inbox_stop(member->inbox);
	assert_int_equal(pthread_join(member->thread, NULL), 0);
	assert_int_equal(member->taken, member->lost);
	inbox_free(member->inbox);
}

int64_t applied_rows(const struct test_database *database)
{
	return test_sql_int(database, "SELECT count(*) FROM applied");
}

int64_t applied_distinct(const struct test_database *database)
{
	return test_sql_int(database,
						"SELECT count(*) FROM (SELECT DISTINCT topic, partition, record_offset FROM applied) AS d");
}
