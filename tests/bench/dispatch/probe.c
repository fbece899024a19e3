/*
 * kiln-bench-dispatch-probe: the least that lies between a bot and a worker: one Kafka hop, one durable transaction of
 * four rows, one more hop. Three threads: the sender, the middle (consume, write, produce), the receiver. Broker
 * settings of the topics, and the table, are the caller's.
 */
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_MAX 8192

static const char *brokers, *first_topic, *second_topic, *database;
static int partitions, count, body_len;
static int64_t sent_us[1000000], halfway_us[1000000];
static rd_kafka_t *consumers[2];

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* The services' settings. */
static rd_kafka_t *client(rd_kafka_type_t type)
{
	const char *const settings[][2] = {
		{"bootstrap.servers", brokers}, {"socket.nagle.disable", "true"},  {"acks", "all"},
		{"enable.idempotence", "true"}, {"partitioner", "murmur2_random"}, {"linger.ms", "0"},
		{"group.id", "probe"},          {"enable.auto.commit", "false"},   {"log_level", "3"}};
	char why[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) != RD_KAFKA_CONF_OK)
			die(settings[i][0], why);
	rd_kafka_t *handle = rd_kafka_new(type, conf, why, sizeof(why));
	if (handle == NULL)
		die("librdkafka", why);
	return handle;
}

static rd_kafka_t *reader(const char *topic)
{
	rd_kafka_t *handle = client(RD_KAFKA_CONSUMER);
	(void)rd_kafka_poll_set_consumer(handle);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	for (int i = 0; i < partitions; i++) {
		int64_t low, high;
		if (rd_kafka_query_watermark_offsets(handle, topic, i, &low, &high, 10000) != RD_KAFKA_RESP_ERR_NO_ERROR)
			die(topic, "no watermarks");
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = high;
	}
	if (rd_kafka_assign(handle, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die(topic, "assign");
	return handle;
}

static rd_kafka_message_t *next(rd_kafka_t *handle)
{
	rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, 60000);
	if (message == NULL || message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("consumer", message == NULL ? "nothing comes" : rd_kafka_message_errstr(message));
	return message;
}

static void produce(rd_kafka_t *handle, const char *topic, void *key, size_t key_len, void *value, size_t value_len)
{
	if (rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, key_len),
						  RD_KAFKA_V_VALUE(value, value_len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die(topic, "produce");
	(void)rd_kafka_poll(handle, 0);
}

/* One statement is a transaction: one round trip, and Postgres flushes before it answers. */
static void *middle(void *unused)
{
	PGconn *pg = PQconnectdb(database);
	rd_kafka_t *out = client(RD_KAFKA_PRODUCER);
	PQclear(
		PQprepare(pg, "four", "INSERT INTO bench_probe (key, body) SELECT $1, $2 FROM generate_series(1, 4)", 2, NULL));
	for (int i = 0; i < count; i++) {
		rd_kafka_message_t *in = next(consumers[0]);
		halfway_us[strtol(in->key, NULL, 10)] = now_us();
		const char *values[] = {in->key, in->payload};
		const int lengths[] = {0, (int)in->len}, formats[] = {0, 1};
		PGresult *done = PQexecPrepared(pg, "four", 2, values, lengths, formats, 0);
		if (PQresultStatus(done) != PGRES_COMMAND_OK)
			die("postgres", PQerrorMessage(pg));
		PQclear(done);
		produce(out, second_topic, in->key, in->key_len, in->payload, in->len);
		rd_kafka_message_destroy(in);
	}
	(void)rd_kafka_flush(out, 10000);
	PQfinish(pg);
	return unused;
}

static void *receiver(void *unused)
{
	for (int i = 0; i < count; i++) {
		rd_kafka_message_t *in = next(consumers[1]);
		int64_t received_us = now_us();
		long number = strtol(in->key, NULL, 10);
		(void)printf("%ld %ld %ld\n", number, received_us - sent_us[number], halfway_us[number] - sent_us[number]);
		rd_kafka_message_destroy(in);
	}
	return unused;
}

int main(int argc, char **argv)
{
	static char body[BODY_MAX];
	if (argc != 9)
		die("usage", "BROKERS TOPIC TOPIC PARTITIONS DATABASE RATE COUNT BODY_BYTES");
	brokers = argv[1], first_topic = argv[2], second_topic = argv[3], database = argv[5];
	partitions = (int)strtol(argv[4], NULL, 10);
	count = (int)strtol(argv[7], NULL, 10), body_len = (int)strtol(argv[8], NULL, 10);
	const int64_t gap_ns = 1000000000 / strtol(argv[6], NULL, 10);
	consumers[0] = reader(first_topic), consumers[1] = reader(second_topic);
	rd_kafka_t *out = client(RD_KAFKA_PRODUCER);
	pthread_t threads[2];
	(void)pthread_create(&threads[0], NULL, middle, NULL);
	(void)pthread_create(&threads[1], NULL, receiver, NULL);
	struct timespec at;
	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += 1; /* for the threads to begin */
	for (int i = 0; i < count; i++) {
		char key[16];
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		at.tv_nsec += gap_ns;
		at.tv_sec += at.tv_nsec / 1000000000, at.tv_nsec %= 1000000000;
		sent_us[i] = now_us();
		/* The key has its NUL with it. */
		produce(out, first_topic, key, (size_t)snprintf(key, sizeof(key), "%d", i) + 1, body, (size_t)body_len);
	}
	(void)pthread_join(threads[0], NULL);
	(void)pthread_join(threads[1], NULL);
	return fflush(stdout) == 0 ? 0 : 1;
}
