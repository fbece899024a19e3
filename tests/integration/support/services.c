#include "services.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

int64_t test_now_ms(void)
{
	return clock_boot_ms();
}

void test_pause(void)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000000L};
	(void)nanosleep(&pause, NULL); /* an early return only looks sooner */
}

char *test_name(const char *prefix)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	return xasprintf("%s-%.8s", prefix, id);
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	if (value == NULL || value[0] == '\0')
		fail_msg("%s is not set: run this by tests/support/with-services", name);
	return value;
}

struct kafka_settings test_kafka(void)
{
	return (struct kafka_settings){.brokers = env("KILN_KAFKA_BROKERS"), .client_id = "kiln-test"};
}

static pid_t frozen;

static bool thread_is_stopped(const char *path)
{
	char line[512];
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return true; /* it has ended */
	size_t len = fread(line, 1, sizeof(line) - 1, file);
	(void)fclose(file); /* was only read */
	line[len] = '\0';
	const char *state = strrchr(line, ')'); /* "pid (name) state …" */
	return state != NULL && strncmp(state, ") T", 3) == 0;
}

static bool is_stopped(pid_t pid)
{
	char pattern[64];
	(void)snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stat", (int)pid);
	glob_t files;
	assert_int_equal(glob(pattern, 0, NULL, &files), 0);
	bool stopped = true;
	for (size_t i = 0; i < files.gl_pathc && stopped; i++)
		stopped = thread_is_stopped(files.gl_pathv[i]);
	globfree(&files);
	return stopped;
}

void test_freeze_kafka(void)
{
	const char *pid = getenv("KILN_PID_KAFKA");
	if (pid == NULL || strchr(pid, ' ') != NULL) {
		skip(); /* jumps */
		return;
	}
	frozen = (pid_t)strtol(pid, NULL, 10);
	assert_int_equal(kill(frozen, SIGSTOP), 0);
	/* Its threads stop one by one, as they come to run: until then one of them may still answer. */
	assert_becomes(is_stopped(frozen), 60000);
}

void test_thaw_kafka(void)
{
	if (frozen != 0)
		assert_int_equal(kill(frozen, SIGCONT), 0);
	frozen = 0;
}

/* One admin request on a handle of its own. `send` puts it on the queue. */
struct admin {
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;
};

static struct admin admin_open(void)
{
	struct kafka_settings settings = test_kafka();
	struct error err = ERROR_INIT;
	rd_kafka_conf_t *conf;
	assert_ok(kafka_conf_new(&settings, &conf, &err), err);
	char text[256];
	struct admin admin = {.handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text))};
	assert_non_null(admin.handle);
	admin.queue = rd_kafka_queue_new(admin.handle);
	return admin;
}

static void admin_close(struct admin *admin)
{
	rd_kafka_queue_destroy(admin->queue);
	rd_kafka_destroy(admin->handle);
}

static rd_kafka_event_t *admin_wait(struct admin *admin)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, 30000);
	assert_non_null(event);
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail_msg("kafka admin: %s", rd_kafka_event_error_string(event));
	return event;
}

static void check_topics(const rd_kafka_topic_result_t **results, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
			fail_msg("topic %s: %s", rd_kafka_topic_result_name(results[i]),
					 rd_kafka_topic_result_error_string(results[i]));
	}
}

/* A topic is made by the controller; the broker knows it a moment later. */
static void wait_for_topic(struct admin *admin, const char *name, int partitions)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(admin->handle, name, NULL);
	for (int64_t until_ms = test_now_ms() + 60000;;) {
		const struct rd_kafka_metadata *metadata;
		int ready = 0;
		if (rd_kafka_metadata(admin->handle, 0, topic, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
			for (int i = 0; metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++)
				ready += metadata->topics[0].partitions[i].leader >= 0;
			rd_kafka_metadata_destroy(metadata);
		}
		if (ready == partitions)
			break;
		if (test_now_ms() > until_ms)
			fail_msg("topic %s has no leaders", name);
		test_pause();
	}
	rd_kafka_topic_destroy(topic);
}

void test_topic(const char *name, int partitions, const char *const *configs)
{
	struct admin admin = admin_open();
	char text[256];
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, text, sizeof(text));
	assert_non_null(topic);
	for (size_t i = 0; configs != NULL && configs[i] != NULL; i += 2)
		assert_int_equal(rd_kafka_NewTopic_set_config(topic, configs[i], configs[i + 1]), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_CreateTopics(admin.handle, &topic, 1, NULL, admin.queue);
	rd_kafka_event_t *event = admin_wait(&admin);
	size_t count;
	const rd_kafka_topic_result_t **results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	check_topics(results, count);
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(topic);
	wait_for_topic(&admin, name, partitions);
	admin_close(&admin);
}

void test_delete_topic(const char *name)
{
	struct admin admin = admin_open();
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
	rd_kafka_DeleteTopics(admin.handle, &topic, 1, NULL, admin.queue);
	rd_kafka_event_destroy(admin_wait(&admin));
	rd_kafka_DeleteTopic_destroy(topic);
	admin_close(&admin);
}

void test_delete_records(const char *topic, int partition, int64_t offset)
{
	struct admin admin = admin_open();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(admin.handle, &request, 1, NULL, admin.queue);
	rd_kafka_event_destroy(admin_wait(&admin));
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	admin_close(&admin);
}

struct kafka_producer *test_producer(void)
{
	struct kafka_settings settings = test_kafka();
	const struct kafka_producer_options options = {.message_timeout_ms = 0, .idempotent = true, .gapless = true};
	struct kafka_producer *producer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_producer_new(&settings, &options, &producer, &err), err);
	return producer;
}

void test_send(struct kafka_producer *producer, const char *topic, int32_t partition, const char *key, const char *id,
			   const char *type, const char *data)
{
	const struct cloudevent event = {.id = id, .type = type, .source = "/kiln/test", .subject = key};
	const struct kafka_message message = {
		.topic = topic,
		.partition = partition,
		.key = key,
		.key_len = strlen(key),
		.data = data,
		.data_len = strlen(data),
		.event = &event,
	};
	struct error err = ERROR_INIT;
	assert_ok(kafka_produce_wait(producer, &message, test_now_ms() + 60000, &err), err);
}

static struct kafka_consumer *tail(const char *topic, int32_t partition, int64_t offset)
{
	struct kafka_settings settings = test_kafka();
	const struct kafka_position position = {.topic = topic, .partition = partition, .offset = offset};
	struct kafka_consumer *consumer;
	struct error err = ERROR_INIT;
	assert_ok(kafka_tail_new(&settings, &position, 1, &consumer, &err), err);
	return consumer;
}

/* On a busy machine a new handle's first answer may be that it does not know the partition yet. */
static void watermarks(struct kafka_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_low,
					   int64_t *ret_high)
{
	struct error err = ERROR_INIT;
	int64_t until_ms = test_now_ms() + 60000;
	while (kafka_watermarks(consumer, topic, partition, 5000, ret_low, ret_high, &err) < 0) {
		if (test_now_ms() > until_ms)
			fail_msg("%s", err.message);
		test_pause();
	}
}

int64_t test_end_offset(const char *topic, int32_t partition)
{
	struct kafka_consumer *consumer = tail(topic, partition, KAFKA_OFFSET_END);
	int64_t low;
	int64_t high;
	watermarks(consumer, topic, partition, &low, &high);
	kafka_consumer_free(consumer);
	return high;
}

void test_read_partition(const char *topic, int32_t partition, test_record *each, void *ctx)
{
	struct error err = ERROR_INIT;
	struct kafka_consumer *consumer = tail(topic, partition, KAFKA_OFFSET_END);
	int64_t low;
	int64_t high;
	watermarks(consumer, topic, partition, &low, &high);
	kafka_consumer_free(consumer);
	if (low == high)
		return;
	consumer = tail(topic, partition, low);
	int64_t until_ms = test_now_ms() + 60000;
	for (int64_t next = low; next < high;) {
		rd_kafka_message_t *message = kafka_consumer_poll(consumer, 1000, &err);
		if (message == NULL && test_now_ms() > until_ms)
			fail_msg("%s/%d: nothing at offset %lld of %lld", topic, partition, (long long)next, (long long)high);
		if (message == NULL)
			continue;
		next = message->offset + 1;
		each(ctx, message);
		rd_kafka_message_destroy(message);
	}
	kafka_consumer_free(consumer);
}

const char *test_header(const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;
	assert_int_equal(rd_kafka_message_headers(message, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
	if (rd_kafka_header_get_last(headers, name, &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail_msg("header %s is missing", name);
	return value; /* librdkafka puts a NUL behind each value */
}

static struct pg_conn *admin_connection(void)
{
	const struct pg_settings settings = {
		.url = env("KILN_DATABASE_URL"), .application_name = "kiln-test-admin", .call_timeout_ms = 60000};
	return pg_conn_new(&settings);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		fail_msg("%s: %s", path, strerror(errno)); /* jumps */
		return NULL;
	}
	size_t size = 1048576;
	char *text = xmalloc(size);
	size_t len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	assert_int_equal(ferror(file), 0);
	(void)fclose(file); /* was only read */
	return text;
}

static void migrate(const struct test_database *database)
{
	glob_t files;
	assert_int_equal(glob(KILN_MIGRATIONS_DIR "/*.sql", 0, NULL, &files), 0);
	assert_true(files.gl_pathc > 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		char *sql = read_file(files.gl_pathv[i]);
		struct pg_settings settings = test_pg(database);
		struct pg_conn *conn = pg_conn_new(&settings);
		struct error err = ERROR_INIT;
		if (pg_run(conn, sql, &err) < 0)
			fail_msg("%s: %s", files.gl_pathv[i], err.message);
		pg_conn_free(conn);
		free(sql);
	}
	globfree(&files);
}

/* The server's URL with another database. */
static char *url_of(const char *database)
{
	const char *url = env("KILN_DATABASE_URL");
	const char *question = strchr(url, '?');
	size_t len = question == NULL ? strlen(url) : (size_t)(question - url);
	while (len > 0 && url[len - 1] != '/')
		len--;
	return xasprintf("%.*s%s%s", (int)len, url, database, question == NULL ? "" : question);
}

void test_database_init(struct test_database *database)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	database->name = xasprintf("kiln_test_%.8s", id);
	database->url = url_of(database->name);
	struct pg_conn *admin = admin_connection();
	struct error err = ERROR_INIT;
	char *sql = xasprintf("CREATE DATABASE %s", database->name);
	assert_ok(pg_run(admin, sql, &err), err);
	free(sql);
	pg_conn_free(admin);
	migrate(database);
}

void test_database_release(struct test_database *database)
{
	struct pg_conn *admin = admin_connection();
	struct error err = ERROR_INIT;
	char *sql = xasprintf("DROP DATABASE %s WITH (FORCE)", database->name);
	assert_ok(pg_run(admin, sql, &err), err);
	free(sql);
	pg_conn_free(admin);
	free(database->name);
	free(database->url);
}

struct pg_settings test_pg(const struct test_database *database)
{
	return (struct pg_settings){.url = database->url, .application_name = "kiln-test"};
}

void test_sql(const struct test_database *database, const char *sql)
{
	struct pg_settings settings = test_pg(database);
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	if (pg_run(conn, sql, &err) < 0)
		fail_msg("%s: %s", sql, err.message);
	pg_conn_free(conn);
}

char *test_sql_text(const struct test_database *database, const char *sql)
{
	struct pg_settings settings = test_pg(database);
	struct pg_conn *conn = pg_conn_new(&settings);
	struct error err = ERROR_INIT;
	const struct pg_statement statement = {.name = "test", .sql = sql};
	PGresult *result;
	if (pg_query(conn, &statement, NULL, 0, &result, &err) < 0)
		fail_msg("%s: %s", sql, err.message);
	char *text = PQntuples(result) == 0 || PQgetisnull(result, 0, 0) ? NULL : xstrdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	pg_conn_free(conn);
	return text;
}

int64_t test_sql_int(const struct test_database *database, const char *sql)
{
	char *text = test_sql_text(database, sql);
	if (text == NULL) {
		fail_msg("no value: %s", sql); /* jumps */
		return 0;
	}
	int64_t value = strtoll(text, NULL, 10);
	free(text);
	return value;
}

char *test_role(const struct test_database *database, const char *table, char **ret_url)
{
	char *role = test_name("role");
	char *sql =
		xasprintf("CREATE ROLE \"%s\" LOGIN PASSWORD 'x'; GRANT SELECT, UPDATE ON %s TO \"%s\"", role, table, role);
	test_sql(database, sql);
	free(sql);
	const char *host = strrchr(database->url, '@');
	assert_non_null(host);
	*ret_url = xasprintf("postgresql://%s:x%s", role, host);
	return role;
}

void test_drop_role(const struct test_database *database, const char *role)
{
	char *sql = xasprintf("DROP OWNED BY \"%s\"; DROP ROLE \"%s\"", role, role);
	test_sql(database, sql);
	free(sql);
}

void test_offset_rows(const struct test_database *database, const char *consumer, const char *topic, int partitions)
{
	char *sql = xasprintf(
		"INSERT INTO consumer_offsets (consumer, topic, partition, next_offset) "
		"SELECT '%s', '%s', p, 0 FROM generate_series(0, %d) AS p",
		consumer, topic, partitions - 1);
	test_sql(database, sql);
	free(sql);
}
