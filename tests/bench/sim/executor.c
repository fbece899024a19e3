#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "tests/bench/sim/sim.h"

#define POLL_MAX_MS 200
#define BATCH_MAX 256
#define ATTEMPTS_MAX 1000000
#define DRAIN_MS 5000
#define LAST_ATTEMPTS_MS 10000

static NORETURN void usage(void)
{
	(void)fputs(
		"usage: kiln-sim-executor --brokers LIST [--workers N] [--slots N] [--phases 0-4] [--label L]...\n"
		"           [--job MS | exp:MEAN_MS | uniform:FROM_MS:TO_MS | asked] [--record FILE] [--drain]\n"
		"--job asked: as long as the build's metadata.job_ms says.\n"
		"--drain: at its end (SIGTERM) it takes nothing more and waits for what runs, at most ten seconds.\n"
		"Prints \"ready\" when its workers have said hello, and what it did when it ends (SIGTERM).\n",
		stderr);
	exit(2);
}

static int64_t number(const char *text, int64_t min, int64_t max)
{
	int64_t value;
	struct error err = ERROR_INIT;
	if (str_parse_int(text, strlen(text), min, max, &value, &err) < 0)
		usage();
	return value;
}

static double milliseconds(const char *text, char **ret_end)
{
	double value = strtod(text, ret_end);
	if (*ret_end == text || value < 0)
		usage();
	return value;
}

static void parse_job(const char *text, struct sim_options *options)
{
	char *end;
	if (str_equal(text, "asked")) {
		options->shape = JOB_ASKED;
		return;
	}
	if (str_starts(text, "exp:")) {
		options->shape = JOB_EXPONENTIAL;
		options->job_ms = milliseconds(text + 4, &end);
	} else if (str_starts(text, "uniform:")) {
		options->shape = JOB_UNIFORM;
		options->job_ms = milliseconds(text + 8, &end);
		if (*end != ':')
			usage();
		options->job_to_ms = milliseconds(end + 1, &end);
	} else {
		options->job_ms = milliseconds(text, &end);
	}
	if (*end != '\0')
		usage();
}

static void parse(int argc, char **argv, struct sim_options *options)
{
	static const struct option names[] = {
		{"brokers", required_argument, NULL, 'b'},
		{"workers", required_argument, NULL, 'w'},
		{"slots", required_argument, NULL, 's'},
		{"phases", required_argument, NULL, 'p'},
		{"label", required_argument, NULL, 'l'},
		{"job", required_argument, NULL, 'j'},
		{"record", required_argument, NULL, 'r'},
		{"drain", no_argument, NULL, 'd'},
		{NULL, 0, NULL, 0},
	};
	size_t labels = 0;
	*options = (struct sim_options){.workers = 1, .slots = 1, .phases = 4};
	options->labels = xcalloc((size_t)argc, sizeof(*options->labels));
	for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (name) {
		case 'b':
			options->brokers = optarg;
			break;
		case 'w':
			options->workers = number(optarg, 1, 10000);
			break;
		case 's':
			options->slots = number(optarg, 1, 10000);
			break;
		case 'p':
			options->phases = number(optarg, 0, 4);
			break;
		case 'l':
			options->labels[labels++] = optarg;
			break;
		case 'j':
			parse_job(optarg, options);
			break;
		case 'r':
			options->record = optarg;
			break;
		case 'd':
			options->drain = true;
			break;
		default:
			usage();
		}
	}
	if (options->brokers == NULL || optind != argc)
		usage();
}

static void obey(struct sim *sim, struct sim_worker *worker, const char *type, const cJSON *data, int64_t received_us)
{
	const struct token_in token = {
		.build_id = json_get_string(data, "build_id"),
		.lease_id = json_get_string(data, "lease_id"),
		.attempt = json_get_int(data, "attempt", 0),
		.job_ms = json_get_string(json_get(json_get(data, "spec"), "metadata"), "job_ms"),
	};
	if (str_equal(type, "worker.fenced")) {
		log_error("fenced", "worker_id", worker->id, "reason", json_get_string(data, "reason"), NULL);
		sim->fenced = true;
		return;
	}
	if (token.build_id == NULL || token.lease_id == NULL)
		return;
	struct attempt *attempt = map_get_str(sim->attempts, token.lease_id);
	if (str_equal(type, "attempt.assign")) {
		bool settle = str_equal(json_get_string(data, "mode"), "settle");
		attempt_assigned(sim, worker, &token, settle ? json_get_string(json_get(data, "settle_end"), "status") : NULL,
						 received_us);
	} else if (attempt == NULL) {
		return;
	} else if (str_equal(type, "attempt.cancel")) {
		attempt_cancel(attempt);
	} else if (str_equal(type, "attempt.released")) {
		sim->released++;
		attempt_forget(attempt);
	} else if (str_equal(type, "attempt.abandon")) {
		sim->abandoned++;
		attempt_forget(attempt);
	}
}

static void receive(struct sim *sim, const rd_kafka_message_t *message)
{
	int64_t received_us = clock_boot_us();
	sim->read_offset[message->partition] = message->offset + 1;
	struct sim_worker *worker = map_get(sim->workers_by_id, message->key, message->key_len);
	if (worker == NULL)
		return;
	struct error err = ERROR_INIT;
	struct cloudevent_in event;
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	if (cloudevent_read(message, &event, &err) < 0 || json_parse(message->payload, message->len, &data, &err) < 0) {
		log_error("illegible command", "error", err.message, NULL);
		return;
	}
	const cJSON *incarnation = json_get(data, "incarnation");
	if (str_equal(json_get_string(incarnation, "nonce"), worker->nonce))
		obey(sim, worker, event.type, data, received_us);
}

/* What is due; returns when the next thing is. */
static int64_t turn(struct sim *sim)
{
	int64_t now_us = clock_boot_us();
	struct attempt *attempt;
	while ((attempt = queue_pop(sim->acked, 0)) != NULL)
		attempt_acked(attempt, now_us);
	while ((attempt = timers_pop(&sim->timers, now_us)) != NULL)
		attempt_timer(attempt, now_us);
	int64_t next_us = timers_next_us(&sim->timers);
	for (int64_t i = 0; i < sim->options.workers; i++) {
		struct sim_worker *worker = &sim->workers[i];
		if (worker->heartbeat_us <= now_us)
			worker_heartbeat(sim, worker, now_us);
		if (worker->waiting_us <= now_us)
			reports_flush(sim, worker);
		int64_t due_us = worker->waiting_us < worker->heartbeat_us ? worker->waiting_us : worker->heartbeat_us;
		if (due_us < next_us)
			next_us = due_us;
	}
	return next_us;
}

static int wait_ms(int64_t next_us)
{
	int64_t left_ms = (next_us - clock_boot_us() + 999) / 1000;
	return left_ms < 0 ? 0 : left_ms > POLL_MAX_MS ? POLL_MAX_MS : (int)left_ms;
}

/* SIGTERM has come, and there is nothing to wait for. */
static bool is_over(struct sim *sim, int64_t *until_ms)
{
	if (!signals_draining())
		return false;
	if (!sim->options.drain || map_len(sim->attempts) == 0)
		return true;
	if (!sim->draining) {
		workers_drain(sim);
		*until_ms = clock_boot_ms() + LAST_ATTEMPTS_MS;
	}
	return clock_boot_ms() >= *until_ms;
}

static void run(struct sim *sim)
{
	int64_t until_ms = 0;
	while (!sim->fenced && !is_over(sim, &until_ms)) {
		int timeout_ms = wait_ms(turn(sim));
		for (int i = 0; i < BATCH_MAX; i++) {
			struct error err = ERROR_INIT;
			rd_kafka_message_t *message = kafka_consumer_poll(sim->consumer, timeout_ms, &err);
			CHECK(err.kind == ERR_NONE);
			if (message == NULL)
				break;
			receive(sim, message);
			rd_kafka_message_destroy(message);
			timeout_ms = 0;
		}
		if (sim->record != NULL && timeout_ms > 0)
			(void)fflush(sim->record); /* fclose tells */
	}
}

int main(int argc, char **argv)
{
	struct sim sim = {.seed = {1, 2, 3}};
	struct error err = ERROR_INIT;
	signals_init();
	log_init("kiln-sim-executor", LOG_WARN, LOG_TEXT);
	parse(argc, argv, &sim.options);
	if (sim.options.record != NULL && (sim.record = fopen(sim.options.record, "we")) == NULL) {
		perror(sim.options.record);
		return 1;
	}
	sim.attempts = map_new(ATTEMPTS_MAX, NULL);
	sim.acked = queue_new(ATTEMPTS_MAX);
	if (workers_start(&sim, &err) < 0) {
		log_error("cannot start", "error", err.message, NULL);
		return 1;
	}
	(void)puts("ready");
	(void)fflush(stdout); /* whoever reads it will wait in vain */
	run(&sim);
	for (int64_t i = 0; i < sim.options.workers; i++)
		reports_flush(&sim, &sim.workers[i]);
	if (map_len(sim.attempts) == 0)
		workers_bye(&sim);
	kafka_producer_free(sim.heartbeats, 0);
	kafka_producer_free(sim.results, DRAIN_MS); /* no report comes after this */
	(void)printf(
		"{\"assigned\": %lld, \"finished\": %lld, \"cancelled\": %lld, \"released\": %lld, \"abandoned\": %lld, "
		"\"resent\": %lld, "
		"\"left\": %zu}\n",
		(long long)sim.assigned, (long long)sim.finished, (long long)sim.cancelled, (long long)sim.released,
		(long long)sim.abandoned, (long long)sim.resent, map_len(sim.attempts));
	attempts_free(&sim);
	kafka_consumer_free(sim.consumer);
	timers_release(&sim.timers);
	map_free(sim.attempts);
	map_free(sim.workers_by_id);
	queue_free(sim.acked);
	for (int64_t i = 0; i < sim.options.workers; i++)
		free(sim.workers[i].freed_us);
	free(sim.workers);
	free(sim.options.labels);
	if (sim.record != NULL && fclose(sim.record) != 0)
		return 1;
	return sim.fenced || fflush(stdout) != 0 ? 1 : 0;
}
