/*
 * kiln-bench-streams: many readers of build event streams. Opens the streams evenly over the given builds, each after
 * its first event; then puts events of these builds onto kiln.build.events at a rate and notes when each stream has
 * them: when the last subscriber of the build has an event, it has arrived.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/producer.h"
#include "common/kafka/topics.h"

#define OPENING_MAX 64 /* at once */
#define EVENTS_MAX 512
#define CARRY_MAX 1024
#define SETTLE_MS 10000
#define SOURCE "/kiln/bench"

struct reader {
	int fd;
	size_t build;
	bool admitted; /* the status is 200 */
	bool ready;    /* it has its first event */
	int64_t last;
	size_t carry_len;
	char carry[CARRY_MAX]; /* an event that has not come whole */
};

struct event {
	int64_t sent_us;
	size_t missing; /* subscribers that do not have it */
	int64_t arrived_us;
};

struct bench {
	int port;
	const char *token, *brokers;
	size_t streams_len, builds_len, events_len;
	double rate;
	int hold_ms;
	char (*builds)[UUID_TEXT_SIZE];
	struct reader *readers;
	struct event *events; /* number e is of build e % builds_len, with sequence 2 + e / builds_len */
	int epoll;
	size_t opened, opening, ready, refused, lost, deliveries;
	int64_t *latencies; /* of each delivery */
};

static NORETURN void usage(void)
{
	(void)fputs(
		"usage: kiln-bench-streams --port N --token T --brokers LIST --builds FILE --streams N --events N --rate N "
		"--hold MS\n"
		"Prints \"ready\" when all streams are open, waits for so long, then sends; the last line is JSON.\n",
		stderr);
	exit(2);
}

static void read_builds(struct bench *bench, const char *path)
{
	FILE *file = fopen(path, "re");
	CHECK(file != NULL);
	char line[64];
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		CHECK(uuid_is_valid(line, strlen(line)));
		bench->builds = xrealloc(bench->builds, (bench->builds_len + 1) * UUID_TEXT_SIZE);
		memcpy(bench->builds[bench->builds_len++], line, UUID_TEXT_SIZE);
	}
	(void)fclose(file); /* it was read */
	CHECK(bench->builds_len > 0);
}

static int64_t number(const char *text)
{
	int64_t value;
	struct error err = ERROR_INIT;
	if (str_parse_int(text, strlen(text), 0, INT32_MAX, &value, &err) < 0)
		usage();
	return value;
}

static void parse(int argc, char **argv, struct bench *bench)
{
	static const struct option names[] = {
		{"port", required_argument, NULL, 'p'},
		{"token", required_argument, NULL, 't'},
		{"brokers", required_argument, NULL, 'b'},
		{"builds", required_argument, NULL, 'f'},
		{"streams", required_argument, NULL, 's'},
		{"events", required_argument, NULL, 'e'},
		{"rate", required_argument, NULL, 'r'},
		{"hold", required_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (name) {
		case 'p':
			bench->port = (int)number(optarg);
			break;
		case 't':
			bench->token = optarg;
			break;
		case 'b':
			bench->brokers = optarg;
			break;
		case 'f':
			read_builds(bench, optarg);
			break;
		case 's':
			bench->streams_len = (size_t)number(optarg);
			break;
		case 'e':
			bench->events_len = (size_t)number(optarg);
			break;
		case 'r':
			bench->rate = (double)number(optarg);
			break;
		case 'h':
			bench->hold_ms = (int)number(optarg);
			break;
		default:
			usage();
		}
	}
	if (bench->port == 0 || bench->token == NULL || bench->brokers == NULL || bench->builds == NULL || bench->rate <= 0)
		usage();
}

/* Connects and asks at once: the listener is on this machine. */
static void open_stream(struct bench *bench, size_t index)
{
	struct reader *reader = &bench->readers[index];
	*reader = (struct reader){.build = index % bench->builds_len};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)bench->port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	reader->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(reader->fd >= 0);
	CHECK(connect(reader->fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	(void)buffer_appendf(&text,
						 "GET /builds/%s/events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
						 "Authorization: Bearer %s\r\n\r\n",
						 bench->builds[reader->build], bench->token); /* there is room */
	CHECK(send(reader->fd, text.data, text.len, MSG_NOSIGNAL) == (ssize_t)text.len);
	struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = index};
	CHECK(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, reader->fd, &wanted) == 0);
	bench->opening++;
}

/* Refused or broken: another try, when it was still opening. */
static void closed(struct bench *bench, size_t index)
{
	struct reader *reader = &bench->readers[index];
	(void)close(reader->fd);
	if (reader->ready) {
		bench->lost++;
		return;
	}
	bench->opening--;
	bench->refused++;
	CHECK(bench->refused < 100000);
	open_stream(bench, index);
}

static void take_event(struct bench *bench, struct reader *reader, int64_t sequence)
{
	if (!reader->ready) {
		CHECK(sequence == 1);
		reader->ready = true;
		reader->last = 1;
		bench->ready++;
		bench->opening--;
		return;
	}
	CHECK(sequence == reader->last + 1);
	reader->last = sequence;
	size_t index = (size_t)(sequence - 2) * bench->builds_len + reader->build;
	CHECK(index < bench->events_len);
	struct event *event = &bench->events[index];
	int64_t now_us = clock_boot_us();
	bench->latencies[bench->deliveries++] = now_us - event->sent_us;
	if (--event->missing == 0)
		event->arrived_us = now_us;
}

/* What was read up to now, event by event. An error's answer has none. */
static size_t take_text(struct bench *bench, struct reader *reader, const char *text, size_t len)
{
	size_t at = 0;
	for (const char *end; (end = memmem(text + at, len - at, "\n\n", 2)) != NULL; at = (size_t)(end - text) + 2) {
		if (strncmp(text + at, "id: ", 4) == 0) /* the head and heartbeats begin otherwise */
			take_event(bench, reader, strtoll(text + at + 4, NULL, 10));
	}
	return at;
}

static void readable(struct bench *bench, size_t index)
{
	struct reader *reader = &bench->readers[index];
	char text[65536 + CARRY_MAX];
	memcpy(text, reader->carry, reader->carry_len);
	ssize_t got = recv(reader->fd, text + reader->carry_len, sizeof(text) - CARRY_MAX, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 || (!reader->admitted && (got < 12 || memcmp(text + 9, "200", 3) != 0))) {
		closed(bench, index);
		return;
	}
	reader->admitted = true;
	size_t len = reader->carry_len + (size_t)got, used = take_text(bench, reader, text, len);
	CHECK(len - used <= CARRY_MAX);
	reader->carry_len = len - used;
	memcpy(reader->carry, text + used, reader->carry_len);
}

static void turn(struct bench *bench, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(bench->epoll, events, EVENTS_MAX, timeout_ms);
	for (int i = 0; i < count; i++)
		readable(bench, events[i].data.u64);
}

static void open_all(struct bench *bench)
{
	while (bench->ready < bench->streams_len) {
		while (bench->opened < bench->streams_len && bench->opening < OPENING_MAX)
			open_stream(bench, bench->opened++);
		turn(bench, 1000);
	}
}

static void send_event(struct bench *bench, struct kafka_producer *producer, size_t index)
{
	const char *build = bench->builds[index % bench->builds_len];
	int64_t sequence = 2 + (int64_t)(index / bench->builds_len);
	char id[96], data[512];
	(void)snprintf(id, sizeof(id), "build/%s/%" PRId64, build, sequence);
	int len =
		snprintf(data, sizeof(data),
				 "{\"attempt\":1,\"build_id\":\"%s\",\"metadata\":{\"ticket\":\"SHOP-4711\"},\"phase\":\"agent\","
				 "\"project\":{\"id\":\"%s\",\"name\":\"bench\"},\"sequence\":%" PRId64 ",\"status\":\"running\"}",
				 build, build, sequence);
	struct cloudevent event = {
		.id = id, .type = "build.phase", .source = SOURCE, .subject = build, .sequence = sequence};
	struct kafka_message message = {.topic = TOPIC_BUILD_EVENTS,
									.partition = -1,
									.key = build,
									.key_len = strlen(build),
									.data = data,
									.data_len = (size_t)len,
									.event = &event};
	struct error err = ERROR_INIT;
	bench->events[index].sent_us = clock_boot_us();
	CHECK(kafka_produce(producer, &message, NULL, NULL, &err) == 0);
}

static void send_all(struct bench *bench)
{
	static const char *const topics[] = {TOPIC_BUILD_EVENTS};
	const struct kafka_settings settings = {.brokers = bench->brokers, .client_id = "kiln-bench-streams"};
	const struct kafka_producer_options options = {.message_timeout_ms = 10000, .max_queued_messages = 100000};
	struct kafka_producer *producer;
	struct error err = ERROR_INIT;
	CHECK(kafka_producer_new(&settings, &options, &producer, &err) == 0);
	CHECK(kafka_producer_warm_up(producer, topics, 1, clock_boot_ms() + 10000, &err) == 0);
	int64_t began_us = clock_boot_us();
	for (size_t sent = 0; sent < bench->events_len;) {
		int64_t due_us = began_us + (int64_t)((double)sent * 1e6 / bench->rate), now_us = clock_boot_us();
		if (now_us >= due_us)
			send_event(bench, producer, sent++);
		else
			turn(bench, (int)((due_us - now_us) / 1000));
		if (now_us >= due_us)
			turn(bench, 0);
	}
	size_t expected = 0;
	for (size_t i = 0; i < bench->streams_len; i++)
		expected += (bench->events_len + bench->builds_len - 1 - bench->readers[i].build) / bench->builds_len;
	for (int64_t end_ms = clock_boot_ms() + SETTLE_MS; bench->deliveries < expected && clock_boot_ms() < end_ms;)
		turn(bench, 100);
	kafka_producer_free(producer, 1000);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static double percentile(int64_t *values, size_t len, double fraction)
{
	if (len == 0)
		return -1;
	qsort(values, len, sizeof(*values), compare);
	size_t rank = (size_t)(fraction * (double)len);
	return (double)values[rank < len ? rank : len - 1] / 1000;
}

static void report(struct bench *bench)
{
	int64_t *whole = xcalloc(bench->events_len + 1, sizeof(*whole));
	size_t arrived = 0;
	for (size_t i = 0; i < bench->events_len; i++) {
		if (bench->events[i].arrived_us > 0)
			whole[arrived++] = bench->events[i].arrived_us - bench->events[i].sent_us;
	}
	(void)printf(
		"{\"streams\": %zu, \"refused\": %zu, \"lost\": %zu, \"events\": %zu, \"arrived\": %zu, \"deliveries\": %zu, ",
		bench->ready, bench->refused, bench->lost, bench->events_len, arrived, bench->deliveries);
	(void)printf("\"all_p50_ms\": %.2f, \"all_p99_ms\": %.2f, ", percentile(whole, arrived, 0.5),
				 percentile(whole, arrived, 0.99));
	(void)printf("\"each_p50_ms\": %.2f, \"each_p99_ms\": %.2f}\n",
				 percentile(bench->latencies, bench->deliveries, 0.5),
				 percentile(bench->latencies, bench->deliveries, 0.99)); /* a broken pipe is the reader's business */
	free(whole);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	parse(argc, argv, &bench);
	log_init("kiln-bench-streams", LOG_WARN, LOG_TEXT);
	bench.epoll = epoll_create1(EPOLL_CLOEXEC);
	bench.readers = xcalloc(bench.streams_len, sizeof(*bench.readers));
	bench.events = xcalloc(bench.events_len + 1, sizeof(*bench.events));
	size_t each = bench.streams_len / bench.builds_len + 1;
	bench.latencies = xcalloc((bench.events_len + 1) * each, sizeof(*bench.latencies));
	for (size_t i = 0; i < bench.events_len; i++)
		bench.events[i].missing = (bench.streams_len + bench.builds_len - 1 - i % bench.builds_len) / bench.builds_len;
	open_all(&bench);
	(void)puts("ready");
	(void)fflush(stdout);
	for (int64_t end_ms = clock_boot_ms() + bench.hold_ms; clock_boot_ms() < end_ms;)
		turn(&bench, 100);
	send_all(&bench);
	report(&bench);
	return 0;
}
