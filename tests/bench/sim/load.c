/* kiln-bench-load: POSTs builds, as fast as its connections allow or at a fixed rate, looks at every answer, and
 * remembers when each was sent. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "tests/bench/sim/connection.h"

#define BODY_MAX_BYTES ((size_t)1024 * 1024)
#define SILENCE_MS 20000 /* without any answer: given up */
#define PATHS_MAX 512

struct posted {
	char id[UUID_TEXT_SIZE];
	int64_t sent_us, answered_us;
	int status; /* 0 = no answer */
};

struct load {
	struct sockaddr_in address;
	struct buffer requests[PATHS_MAX]; /* one for each path, in turn */
	size_t requests_len;
	int64_t count, connections_len, rate; /* rate 0: as fast as it goes */
	const char *record;
	struct connection *connections;
	struct posted *posted;
	int64_t sent, answered, good, lost;
	int64_t limited, untold; /* 429 and 503, and those of them without Retry-After */
	int64_t began_us, ended_us;
	int epoll, timer;
};

static NORETURN void usage(void)
{
	(void)fputs(
		"usage: kiln-bench-load --port PORT --token TOKEN --body FILE --path PATH... --count N --connections N [--rate "
		"N] [--record FILE]\n",
		stderr);
	exit(2);
}

static NORETURN void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t number(const char *text, int64_t max)
{
	int64_t value;
	struct error err = ERROR_INIT;
	if (str_parse_int(text, strlen(text), 1, max, &value, &err) < 0)
		usage();
	return value;
}

static void read_body(const char *path, struct buffer *body)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail(path);
	char *space = buffer_reserve(body, BODY_MAX_BYTES - 1);
	CHECK(space != NULL);
	buffer_commit(body, fread(space, 1, BODY_MAX_BYTES - 1, file));
	if (fclose(file) != 0 || body->len == 0)
		fail(path);
}

static void parse(int argc, char **argv, struct load *load)
{
	static const struct option names[] = {
		{"port", required_argument, NULL, 'P'},
		{"token", required_argument, NULL, 't'},
		{"body", required_argument, NULL, 'b'},
		{"path", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'n'},
		{"connections", required_argument, NULL, 'c'},
		{"rate", required_argument, NULL, 'r'},
		{"record", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	const char *token = NULL, *paths[PATHS_MAX];
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, BODY_MAX_BYTES);
	load->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (name) {
		case 'P':
			load->address.sin_port = htons((uint16_t)number(optarg, 65535));
			break;
		case 't':
			token = optarg;
			break;
		case 'b':
			read_body(optarg, &body);
			break;
		case 'p':
			if (load->requests_len == PATHS_MAX)
				usage();
			paths[load->requests_len++] = optarg;
			break;
		case 'n':
			load->count = number(optarg, 100000000);
			break;
		case 'c':
			load->connections_len = number(optarg, 10000);
			break;
		case 'r':
			load->rate = number(optarg, 1000000);
			break;
		case 'o':
			load->record = optarg;
			break;
		default:
			usage();
		}
	}
	if (token == NULL || body.len == 0 || load->requests_len == 0 || load->count == 0 || load->connections_len == 0 ||
		optind != argc)
		usage();
	for (size_t i = 0; i < load->requests_len; i++) {
		buffer_init(&load->requests[i], BODY_MAX_BYTES + 4096);
		(void)buffer_appendf(
			&load->requests[i],
			"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
			"Content-Length: %zu\r\n\r\n",
			paths[i], (unsigned)ntohs(load->address.sin_port), token, body.len);
		(void)buffer_append(&load->requests[i], body.data, body.len);
		CHECK(buffer_ok(&load->requests[i]));
	}
}

static void watch(struct load *load, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

static void open_connection(struct load *load, size_t number_of_it)
{
	struct error err = ERROR_INIT;
	struct connection *connection = &load->connections[number_of_it];
	if (connection_open(connection, &load->address, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	watch(load, connection->fd, (uint32_t)number_of_it);
}

static void reopen(struct load *load, size_t number_of_it)
{
	load->lost += load->connections[number_of_it].busy;
	connection_close(&load->connections[number_of_it]);
	open_connection(load, number_of_it);
}

/* When the next one may go. */
static int64_t due_us(const struct load *load)
{
	return load->rate == 0 ? 0 : load->began_us + load->sent * 1000000 / load->rate;
}

static void send_what_is_due(struct load *load)
{
	for (size_t i = 0; i < (size_t)load->connections_len && load->sent < load->count && clock_boot_us() >= due_us(load);
		 i++) {
		struct connection *connection = &load->connections[i];
		if (connection->busy)
			continue;
		size_t request = (size_t)load->sent++;
		if (connection_send(connection, request, &load->requests[request % load->requests_len]) < 0)
			reopen(load, i);
		load->posted[request].sent_us = connection->sent_us;
	}
	if (load->rate == 0 || load->sent == load->count)
		return;
	int64_t next_us = due_us(load);
	const struct itimerspec at = {.it_value = {.tv_sec = next_us / 1000000, .tv_nsec = next_us % 1000000 * 1000}};
	if (timerfd_settime(load->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		fail("timerfd_settime");
}

static void receive(struct load *load, size_t number_of_it)
{
	struct connection *connection = &load->connections[number_of_it];
	struct answer answer;
	switch (connection_receive(connection, &answer)) {
	case RECEIVED_PART:
		break;
	case RECEIVED_CLOSE:
		reopen(load, number_of_it);
		break;
	case RECEIVED_ANSWER: {
		struct posted *posted = &load->posted[connection->request];
		posted->answered_us = load->ended_us = clock_boot_us();
		posted->status = answer.status;
		memcpy(posted->id, answer.task_id, sizeof(posted->id));
		load->answered++;
		load->good += answer.status == 202 && answer.task_id[0] != '\0';
		load->limited += answer.status == 429 || answer.status == 503;
		load->untold += (answer.status == 429 || answer.status == 503) && answer.retry_after_s < 1;
		if (load->rate == 0 &&
			load->sent < load->count) { /* the next one on this connection, without a look at all the others */
			size_t request = (size_t)load->sent++;
			if (connection_send(connection, request, &load->requests[request % load->requests_len]) < 0)
				reopen(load, number_of_it);
			load->posted[request].sent_us = connection->sent_us;
		}
		break;
	}
	}
}

static void run(struct load *load)
{
	struct epoll_event events[256];
	load->began_us = clock_boot_us();
	int64_t heard_ms = clock_boot_ms();
	send_what_is_due(load);
	while (load->answered + load->lost < load->count && clock_boot_ms() - heard_ms < SILENCE_MS) {
		int64_t before = load->answered;
		int ready = epoll_wait(load->epoll, events, ARRAY_LEN(events), 1000);
		for (int i = 0; i < ready; i++) {
			uint64_t fired;
			if (events[i].data.u32 == UINT32_MAX)
				(void)!read(load->timer, &fired, sizeof(fired)); /* only cleared */
			else
				receive(load, events[i].data.u32);
		}
		if (load->rate != 0)
			send_what_is_due(load);
		if (load->answered != before)
			heard_ms = clock_boot_ms();
	}
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return (left > right) - (left < right);
}

static void report(const struct load *load)
{
	int64_t *waits = xcalloc((size_t)load->count, sizeof(*waits));
	size_t len = 0;
	for (int64_t i = 0; i < load->count; i++) {
		if (load->posted[i].status != 0)
			waits[len++] = load->posted[i].answered_us - load->posted[i].sent_us;
	}
	qsort(waits, len, sizeof(*waits), compare);
	const size_t median = len / 2, high = len * 99 / 100;
	(void)printf(
		"{\"count\": %lld, \"accepted\": %lld, \"answered\": %lld, \"lost\": %lld, \"limited\": %lld, \"untold\": "
		"%lld, \"began_us\": %lld, \"ended_us\": "
		"%lld, "
		"\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
		(long long)load->count, (long long)load->good, (long long)load->answered, (long long)load->lost,
		(long long)load->limited, (long long)load->untold, (long long)load->began_us, (long long)load->ended_us,
		len == 0 ? 0.0 : (double)waits[median] / 1000.0, len == 0 ? 0.0 : (double)waits[high] / 1000.0);
	free(waits);
}

/* A line for each: build, when its first byte was sent, when it was answered, status. */
static void write_record(const struct load *load)
{
	FILE *file = fopen(load->record, "we");
	if (file == NULL)
		fail(load->record);
	for (int64_t i = 0; i < load->count; i++) {
		const struct posted *posted = &load->posted[i];
		(void)fprintf(file, "%s %lld %lld %d\n", posted->id[0] == '\0' ? "-" : posted->id, (long long)posted->sent_us,
					  (long long)posted->answered_us, posted->status); /* fclose tells */
	}
	if (fclose(file) != 0)
		fail(load->record);
}

int main(int argc, char **argv)
{
	struct load load = {.count = 0};
	parse(argc, argv, &load);
	load.posted = xcalloc((size_t)load.count, sizeof(*load.posted));
	load.connections = xcalloc((size_t)load.connections_len, sizeof(*load.connections));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (load.epoll < 0 || load.timer < 0)
		fail("epoll");
	watch(&load, load.timer, UINT32_MAX);
	for (size_t i = 0; i < (size_t)load.connections_len; i++)
		open_connection(&load, i);
	run(&load);
	report(&load);
	if (load.record != NULL)
		write_record(&load);
	for (size_t i = 0; i < (size_t)load.connections_len; i++)
		connection_close(&load.connections[i]);
	for (size_t i = 0; i < load.requests_len; i++)
		buffer_release(&load.requests[i]);
	free(load.connections);
	free(load.posted);
	return load.good == load.count ? 0 : 1;
}
