#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"
#include "tests/bench/sim/sim.h"

#define MESSAGE_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define HELLO_TIMEOUT_MS 20000

void sim_send(struct kafka_producer *producer, const char *topic, const char *key, const char *id, const char *type,
			  const struct buffer *body, kafka_delivered *done, void *ctx)
{
	const struct cloudevent event = {.id = id, .type = type, .source = "/kiln/executor", .subject = key};
	const struct kafka_message message = {
		.topic = topic,
		.partition = -1,
		.key = key,
		.key_len = strlen(key),
		.data = body->data,
		.data_len = body->len,
		.event = &event,
	};
	struct error err = ERROR_INIT;
	CHECK(buffer_ok(body));
	if (kafka_produce(producer, &message, done, ctx, &err) == 0)
		return;
	log_error("not produced", "type", type, "error", err.message, NULL);
	exit(1);
}

static void write_tokens(struct json_writer *w, const char *key, struct sim_worker *worker, bool finished)
{
	json_array_begin(w, key);
	LIST_FOR_EACH (node, &worker->attempts) {
		const struct attempt *attempt = LIST_ITEM(node, struct attempt, of_worker);
		if ((attempt->result != NULL) != finished)
			continue;
		json_object_begin(w, NULL);
		json_string(w, "build_id", attempt->build_id);
		json_int(w, "attempt", attempt->number);
		json_string(w, "lease_id", attempt->lease_id);
		json_object_end(w);
	}
	json_array_end(w);
}

static void begin(struct json_writer *w, const struct sim_worker *worker)
{
	json_object_begin(w, NULL);
	json_string(w, "worker_id", worker->id);
	json_object_begin(w, "incarnation");
	json_int(w, "counter", 1);
	json_string(w, "nonce", worker->nonce);
	json_object_end(w);
}

static void end(struct json_writer *w)
{
	char now[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), now);
	json_string(w, "time", now);
	json_object_end(w);
}

static void write_state(struct buffer *body, const struct sim *sim, struct sim_worker *worker)
{
	struct json_writer w;
	json_writer_init(&w, body);
	begin(&w, worker);
	json_string(&w, "hostname", "sim");
	json_string(&w, "version", "sim");
	json_int(&w, "slots", sim->options.slots);
	json_array_begin(&w, "labels");
	for (char **label = sim->options.labels; *label != NULL; label++)
		json_string(&w, NULL, *label);
	json_array_end(&w);
	json_raw(&w, "agents", "[\"command\"]");
	json_string(&w, "sandbox", "none");
	json_int(&w, "partition", worker->partition);
	json_int(&w, "read_offset", sim->read_offset[worker->partition]);
	write_tokens(&w, "held", worker, false);
	write_tokens(&w, "reported", worker, true);
	json_bool(&w, "draining", sim->draining);
	end(&w);
}

static void send_state(struct sim *sim, struct sim_worker *worker, struct kafka_producer *producer, const char *type)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, MESSAGE_MAX_BYTES);
	write_state(&body, sim, worker);
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	sim_send(producer, TOPIC_WORKER_EVENTS, worker->id, id, type, &body, NULL, NULL);
}

void worker_heartbeat(struct sim *sim, struct sim_worker *worker, int64_t now_us)
{
	worker->heartbeat_us = now_us + HEARTBEAT_US;
	send_state(sim, worker, sim->heartbeats, "worker.heartbeat");
	LIST_FOR_EACH (node, &worker->attempts)
		attempt_resend(LIST_ITEM(node, struct attempt, of_worker), now_us);
}

/* A worker reads its partition's end offset, goes on from there, and then says hello (docs/protocol.md section 5). */
static int open_consumer(struct sim *sim, const struct kafka_settings *settings, struct error *err)
{
	const struct topic *topic = topic_find(TOPIC_BUILD_ASSIGNMENTS);
	struct kafka_position positions[SIM_PARTITIONS_MAX];
	int64_t ends[SIM_PARTITIONS_MAX];
	bool wanted[SIM_PARTITIONS_MAX] = {false};
	size_t count = 0;
	CHECK(topic->partitions <= SIM_PARTITIONS_MAX);
	for (int64_t i = 0; i < sim->options.workers; i++)
		wanted[sim->workers[i].partition] = true;
	for (int32_t partition = 0; partition < topic->partitions; partition++) {
		if (wanted[partition])
			positions[count++] = (struct kafka_position){topic->name, partition, KAFKA_OFFSET_STOP};
	}
	struct kafka_consumer *asker;
	if (kafka_tail_new(settings, positions, count, &asker, err) < 0)
		return -1;
	int rc = kafka_watermarks_of(asker, positions, count, 10000, NULL, ends, err);
	kafka_consumer_free(asker);
	if (rc < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		positions[i].offset = sim->read_offset[positions[i].partition] = ends[i];
	return kafka_tail_new(settings, positions, count, &sim->consumer, err);
}

int workers_start(struct sim *sim, struct error *err)
{
	const struct kafka_settings settings = {.brokers = sim->options.brokers, .client_id = "kiln-sim-executor"};
	/* As the executor's, but for many workers in one process: an idempotent one would spin (producer.h). */
	const struct kafka_producer_options reliable = {.linger_ms = 1, .max_queued_messages = 1000000};
	const struct kafka_producer_options heartbeats = {.message_timeout_ms = 5000};
	sim->workers_by_id = map_new((size_t)sim->options.workers, NULL);
	sim->workers = xcalloc((size_t)sim->options.workers, sizeof(*sim->workers));
	for (int64_t i = 0; i < sim->options.workers; i++) {
		struct sim_worker *worker = &sim->workers[i];
		uuid_v4(worker->id);
		uuid_v4(worker->nonce);
		worker->partition = topic_partition(topic_find(TOPIC_BUILD_ASSIGNMENTS), worker->id, UUID_TEXT_SIZE - 1);
		list_init(&worker->attempts);
		list_init(&worker->waiting);
		worker->waiting_us = INT64_MAX;
		worker->freed_us = xcalloc((size_t)sim->options.slots, sizeof(*worker->freed_us));
		worker->freed_len = sim->options.slots;
		CHECK(map_set(sim->workers_by_id, worker->id, UUID_TEXT_SIZE - 1, worker) == 0);
	}
	const char *const topics[] = {TOPIC_BUILD_RESULTS, TOPIC_WORKER_EVENTS};
	if (kafka_producer_new(&settings, &reliable, &sim->results, err) < 0 ||
		kafka_producer_new(&settings, &heartbeats, &sim->heartbeats, err) < 0 ||
		kafka_producer_warm_up(sim->results, topics, ARRAY_LEN(topics), clock_boot_ms() + HELLO_TIMEOUT_MS, err) < 0 ||
		open_consumer(sim, &settings, err) < 0)
		return -1;
	int64_t now_us = clock_boot_us();
	for (int64_t i = 0; i < sim->options.workers; i++) {
		send_state(sim, &sim->workers[i], sim->results, "worker.hello");
		/* Spread over the period. */
		sim->workers[i].heartbeat_us = now_us + HEARTBEAT_US * (i + 1) / sim->options.workers;
	}
	return 0;
}

void workers_drain(struct sim *sim)
{
	sim->draining = true;
	for (int64_t i = 0; i < sim->options.workers; i++)
		send_state(sim, &sim->workers[i], sim->heartbeats, "worker.heartbeat");
}

/* Those of an attempt that was lost may be one too many. */
void worker_give_slot(const struct sim *sim, struct sim_worker *worker, int64_t now_us)
{
	if (worker->freed_len < sim->options.slots)
		worker->freed_us[(worker->freed_first + worker->freed_len++) % sim->options.slots] = now_us;
}

int64_t worker_take_slot(const struct sim *sim, struct sim_worker *worker)
{
	if (worker->freed_len == 0)
		return 0;
	int64_t freed_us = worker->freed_us[worker->freed_first];
	worker->freed_first = (worker->freed_first + 1) % sim->options.slots;
	worker->freed_len--;
	return freed_us;
}

void workers_bye(struct sim *sim)
{
	for (int64_t i = 0; i < sim->options.workers; i++) {
		CLEANUP(buffer_release_p) struct buffer body;
		buffer_init(&body, 1024);
		struct json_writer w;
		json_writer_init(&w, &body);
		begin(&w, &sim->workers[i]);
		end(&w);
		char id[UUID_TEXT_SIZE];
		uuid_v4(id);
		sim_send(sim->results, TOPIC_WORKER_EVENTS, sim->workers[i].id, id, "worker.bye", &body, NULL, NULL);
	}
}
