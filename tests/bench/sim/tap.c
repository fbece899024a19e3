/*
 * kiln-bench-tap: an outside consumer of one topic. Notes when each record of the wanted types came (clock_boot_us),
 * and checks that the first occurrences of each key's ce_sequence come in order and without a gap.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/consumer.h"
#include "common/kafka/topics.h"

#define PARTITIONS_MAX 64
#define KEYS_MAX 10000000
#define BATCH_MAX 1000

struct tap {
	const char *brokers, *topic, *record;
	char **types;     /* those to be noted */
	int64_t expected; /* of them; 0 = until SIGTERM */
	FILE *file;
	struct kafka_consumer *consumer;
	struct map *sequences; /* int64_t by key */
	int64_t records, noted, repeated, gaps;
};

static NORETURN void usage(void)
{
	(void)fputs(
		"usage: kiln-bench-tap --brokers LIST --topic TOPIC --type TYPE... --record FILE [--expect N]\n"
		"Prints \"ready\" when it reads from the topic's end; ends by SIGTERM, or when it has N records.\n",
		stderr);
	exit(2);
}

static void parse(int argc, char **argv, struct tap *tap)
{
	static const struct option names[] = {
		{"brokers", required_argument, NULL, 'b'}, {"topic", required_argument, NULL, 't'},
		{"type", required_argument, NULL, 'y'},    {"record", required_argument, NULL, 'r'},
		{"expect", required_argument, NULL, 'n'},  {NULL, 0, NULL, 0},
	};
	size_t types = 0;
	struct error err = ERROR_INIT;
	tap->types = xcalloc((size_t)argc, sizeof(*tap->types));
	for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (name) {
		case 'b':
			tap->brokers = optarg;
			break;
		case 't':
			tap->topic = optarg;
			break;
		case 'y':
			tap->types[types++] = optarg;
			break;
		case 'r':
			tap->record = optarg;
			break;
		case 'n':
			if (str_parse_int(optarg, strlen(optarg), 1, KEYS_MAX, &tap->expected, &err) < 0)
				usage();
			break;
		default:
			usage();
		}
	}
	if (tap->brokers == NULL || tap->topic == NULL || topic_find(tap->topic) == NULL || tap->record == NULL ||
		optind != argc)
		usage();
}

/* From the ends of all partitions, known before it says that it is ready. */
static int open_consumer(struct tap *tap, struct error *err)
{
	const struct kafka_settings settings = {.brokers = tap->brokers, .client_id = "kiln-bench-tap"};
	const struct topic *topic = topic_find(tap->topic);
	struct kafka_position positions[PARTITIONS_MAX];
	int64_t ends[PARTITIONS_MAX];
	struct kafka_consumer *asker;
	size_t count = (size_t)topic->partitions;
	CHECK(count <= PARTITIONS_MAX);
	for (size_t i = 0; i < count; i++)
		positions[i] = (struct kafka_position){topic->name, (int32_t)i, KAFKA_OFFSET_STOP};
	if (kafka_tail_new(&settings, positions, count, &asker, err) < 0)
		return -1;
	int rc = kafka_watermarks_of(asker, positions, count, 10000, NULL, ends, err);
	kafka_consumer_free(asker);
	for (size_t i = 0; i < count; i++)
		positions[i].offset = ends[i];
	return rc < 0 ? -1 : kafka_tail_new(&settings, positions, count, &tap->consumer, err);
}

static void check_sequence(struct tap *tap, const rd_kafka_message_t *message, int64_t sequence)
{
	if (sequence == 0)
		return;
	int64_t *last = map_get(tap->sequences, message->key, message->key_len);
	if (last == NULL) {
		last = xcalloc(1, sizeof(*last));
		CHECK(map_set(tap->sequences, message->key, message->key_len, last) == 0);
	}
	if (sequence <= *last) {
		tap->repeated++;
		return;
	}
	tap->gaps += sequence != *last + 1;
	*last = sequence;
}

/* On assignments the key is the worker's, so the build's id is taken from the data. */
static void note(struct tap *tap, const rd_kafka_message_t *message, const char *type, int64_t now_us)
{
	static const char name[] = "\"build_id\":\"";
	const char *found = memmem(message->payload, message->len, name, sizeof(name) - 1);
	if (found == NULL)
		return;
	(void)fprintf(tap->file, "%.36s %s %lld\n", found + sizeof(name) - 1, type, (long long)now_us); /* fclose tells */
	tap->noted++;
}

static void take(struct tap *tap, const rd_kafka_message_t *message)
{
	int64_t now_us = clock_boot_us();
	struct cloudevent_in event;
	struct error err = ERROR_INIT;
	tap->records++;
	if (cloudevent_read(message, &event, &err) < 0)
		return;
	check_sequence(tap, message, event.sequence);
	if (strv_contains(tap->types, event.type))
		note(tap, message, event.type, now_us);
}

static void run(struct tap *tap)
{
	while (!signals_draining() && (tap->expected == 0 || tap->noted < tap->expected)) {
		struct error err = ERROR_INIT;
		rd_kafka_message_t *message = kafka_consumer_poll(tap->consumer, 100, &err);
		CHECK(err.kind == ERR_NONE);
		if (message == NULL) {
			(void)fflush(tap->file); /* fclose tells */
			continue;
		}
		take(tap, message);
		rd_kafka_message_destroy(message);
	}
}

int main(int argc, char **argv)
{
	struct tap tap = {.records = 0};
	struct error err = ERROR_INIT;
	signals_init();
	log_init("kiln-bench-tap", LOG_WARN, LOG_TEXT);
	parse(argc, argv, &tap);
	tap.sequences = map_new(KEYS_MAX, free);
	tap.file = fopen(tap.record, "we");
	if (tap.file == NULL || open_consumer(&tap, &err) < 0) {
		(void)fprintf(stderr, "cannot start: %s\n", tap.file == NULL ? tap.record : err.message);
		return 1;
	}
	(void)puts("ready");
	(void)fflush(stdout); /* whoever reads it will wait in vain */
	run(&tap);
	(void)printf("{\"records\": %lld, \"noted\": %lld, \"keys\": %zu, \"repeated\": %lld, \"gaps\": %lld}\n",
				 (long long)tap.records, (long long)tap.noted, map_len(tap.sequences), (long long)tap.repeated,
				 (long long)tap.gaps);
	kafka_consumer_free(tap.consumer);
	map_free(tap.sequences);
	free(tap.types);
	return fclose(tap.file) == 0 && fflush(stdout) == 0 ? 0 : 1;
}
