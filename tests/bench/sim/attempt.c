#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"
#include "tests/bench/sim/sim.h"

#define BODY_MAX_BYTES 16384
#define RESEND_US 10000000

/* When each phase begins, in thousandths of the attempt's duration. `pushing` must have been acknowledged before the
 * attempt ends. */
static const struct {
	const char *name;
	int64_t permille;
} phases[] = {{"preparing", 0}, {"agent", 150}, {"committing", 850}, {"pushing", 900}};
#define PUSHING 3

static int64_t duration_us(struct sim *sim, const char *asked_ms)
{
	const struct sim_options *options = &sim->options;
	double ms = options->job_ms;
	if (options->shape == JOB_EXPONENTIAL)
		ms = -log(1.0 - erand48(sim->seed)) * options->job_ms;
	if (options->shape == JOB_UNIFORM)
		ms = options->job_ms + erand48(sim->seed) * (options->job_to_ms - options->job_ms);
	if (options->shape == JOB_ASKED && asked_ms != NULL)
		ms = strtod(asked_ms, NULL); /* the benchmark's own */
	return (int64_t)(ms * 1000);
}

static void random_sha(char ret[41])
{
	unsigned char bytes[20];
	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), ret);
}

static void begin(struct json_writer *w, struct buffer *body, const struct attempt *attempt)
{
	char now[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), now);
	json_writer_init(w, body);
	json_object_begin(w, NULL);
	json_string(w, "build_id", attempt->build_id);
	json_int(w, "attempt", attempt->number);
	json_string(w, "lease_id", attempt->lease_id);
	json_string(w, "worker_id", attempt->worker->id);
	json_object_begin(w, "incarnation");
	json_int(w, "counter", 1);
	json_string(w, "nonce", attempt->worker->nonce);
	json_object_end(w);
	json_string(w, "time", now);
}

/* At once, behind what waits. */
static void send_report(const struct attempt *attempt, const char *type, const char *id, const struct buffer *body,
						kafka_delivered *done, void *ctx)
{
	reports_flush(attempt->sim, attempt->worker);
	sim_send(attempt->sim->results, TOPIC_BUILD_RESULTS, attempt->build_id, id, type, body, done, ctx);
}

static void send_accepted(struct attempt *attempt)
{
	struct buffer body;
	buffer_init(&body, BODY_MAX_BYTES);
	struct json_writer w;
	begin(&w, &body, attempt);
	json_object_end(&w);
	report_later(attempt, "attempt.accepted", body);
}

/* The producer's thread. */
static void on_acked(void *ctx, const struct kafka_delivery *delivery)
{
	struct attempt *attempt = ctx;
	CHECK(delivery->outcome == ERR_NONE);
	CHECK(queue_try_push(attempt->sim->acked, attempt));
	kafka_consumer_wake(attempt->sim->consumer);
}

static void send_phase(struct attempt *attempt)
{
	struct buffer body;
	buffer_init(&body, BODY_MAX_BYTES);
	struct json_writer w;
	bool pushing = attempt->stage == PUSHING, based = attempt->stage > 0;
	if (pushing)
		random_sha(attempt->commit_sha);
	begin(&w, &body, attempt);
	json_string(&w, "phase", phases[attempt->stage].name);
	json_string(&w, "base_sha", based ? attempt->base_sha : NULL);
	json_string(&w, "branch", based ? "main" : NULL);
	json_string(&w, "commit_sha", pushing ? attempt->commit_sha : NULL);
	json_object_end(&w);
	if (!pushing) {
		report_later(attempt, "attempt.phase", body);
		return;
	}
	attempt->waits_for_ack = true;
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	send_report(attempt, "attempt.phase", id, &body, on_acked, attempt);
	buffer_release(&body);
}

static void write_result(struct json_writer *w, const struct attempt *attempt, const char *error_class)
{
	bool pushed = error_class == NULL && attempt->commit_sha[0] != '\0';
	json_object_begin(w, "result");
	json_bool(w, "success", error_class == NULL);
	json_string(w, "output",
				"simulated agent: read a prompt\nsimulated agent: wrote src/hello.sh\nHello from an agent.\n");
	if (error_class == NULL) {
		json_null(w, "error");
	} else {
		json_object_begin(w, "error");
		json_string(w, "class", error_class);
		json_string(w, "message", "simulated");
		json_object_end(w);
	}
	json_string(w, "commit_sha", pushed ? attempt->commit_sha : NULL);
	json_string(w, "branch", attempt->stage > 1 ? "main" : NULL);
	json_raw(w, "files_changed",
			 pushed ? "[{\"path\":\"HELLO.md\",\"status\":\"added\",\"added\":5,\"deleted\":0},"
					  "{\"path\":\"src/hello.sh\",\"status\":\"added\",\"added\":2,\"deleted\":0}]"
					: "[]");
	json_int(w, "duration_ms", (clock_boot_us() - attempt->began_us) / 1000);
	json_raw(w, "artifacts", "[]");
	json_raw(w, "agent",
			 "{\"provider\":\"command\",\"version\":null,\"model\":null,\"session_id\":null,\"turns\":null,"
			 "\"tokens\":{\"input\":null,\"output\":null,\"cached\":null},\"cost_usd\":null}");
	json_raw(w, "pipelines", "[]");
	json_object_end(w);
}

/* error_class is NULL when all went well. */
static void finish(struct attempt *attempt, const char *outcome, const char *error_class)
{
	struct sim *sim = attempt->sim;
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, BODY_MAX_BYTES);
	struct json_writer w;
	begin(&w, &body, attempt);
	json_string(&w, "outcome", outcome);
	json_bool(&w, "published", error_class == NULL && attempt->commit_sha[0] != '\0');
	json_bool(&w, "closed", attempt->settle_status[0] != '\0');
	json_bool(&w, "retryable", false);
	write_result(&w, attempt, error_class);
	json_object_end(&w);
	uuid_v4(attempt->result_id);
	attempt->result_us = clock_boot_us();
	worker_give_slot(sim, attempt->worker, attempt->result_us);
	send_report(attempt, "attempt.finished", attempt->result_id, &body, NULL, NULL);
	attempt->result = buffer_detach(&body, &(size_t){0});
	sim->finished++;
	sim->cancelled += str_equal(outcome, "cancelled");
}

void attempt_resend(struct attempt *attempt, int64_t now_us)
{
	if (attempt->result == NULL || now_us - attempt->result_us < RESEND_US)
		return;
	attempt->result_us = now_us;
	attempt->sim->resent++;
	const struct buffer body = {.data = attempt->result, .len = strlen(attempt->result)};
	send_report(attempt, "attempt.finished", attempt->result_id, &body, NULL, NULL);
}

void attempt_go_on(struct attempt *attempt, int64_t now_us)
{
	while (attempt->result == NULL && !attempt->waits_for_ack && !attempt->forgotten) {
		bool last = attempt->stage >= attempt->sim->options.phases;
		int64_t due_us =
			attempt->began_us + attempt->duration_us * (last ? 1000 : phases[attempt->stage].permille) / 1000;
		if (due_us > now_us) {
			attempt->timed = true;
			timers_add(&attempt->sim->timers, due_us, attempt);
			return;
		}
		if (last) {
			finish(attempt, "completed", NULL);
			return;
		}
		send_phase(attempt);
		attempt->stage++;
	}
}

static void note(const struct attempt *attempt, int64_t freed_us)
{
	if (attempt->sim->record != NULL)
		(void)fprintf(attempt->sim->record, "%s %lld %lld %lld\n", attempt->build_id, (long long)attempt->number,
					  (long long)attempt->began_us, (long long)freed_us); /* fclose tells */
}

void attempt_assigned(struct sim *sim, struct sim_worker *worker, const struct token_in *token,
					  const char *settle_status, int64_t now_us)
{
	struct attempt *attempt = map_get_str(sim->attempts, token->lease_id);
	if (attempt != NULL) { /* sent again: it missed our accept */
		send_accepted(attempt);
		return;
	}
	attempt = xcalloc(1, sizeof(*attempt));
	attempt->sim = sim;
	attempt->worker = worker;
	attempt->number = token->attempt;
	attempt->began_us = now_us;
	attempt->duration_us = duration_us(sim, token->job_ms);
	(void)snprintf(attempt->build_id, sizeof(attempt->build_id), "%s", token->build_id);
	(void)snprintf(attempt->lease_id, sizeof(attempt->lease_id), "%s", token->lease_id);
	random_sha(attempt->base_sha);
	list_append(&worker->attempts, &attempt->of_worker);
	CHECK(map_set(sim->attempts, attempt->lease_id, strlen(attempt->lease_id), attempt) == 0);
	sim->assigned++;
	note(attempt, worker_take_slot(sim, worker));
	send_accepted(attempt);
	if (settle_status != NULL) {
		(void)snprintf(attempt->settle_status, sizeof(attempt->settle_status), "%s", settle_status);
		finish(attempt, settle_status, str_equal(settle_status, "cancelled") ? "cancelled" : "agent_failed");
		return;
	}
	attempt_go_on(attempt, now_us);
}

/* In `pushing` the push's outcome wins. */
void attempt_cancel(struct attempt *attempt)
{
	if (attempt->result == NULL && attempt->stage <= PUSHING)
		finish(attempt, "cancelled", "cancelled");
}

static void free_when_idle(struct attempt *attempt)
{
	if (attempt->timed || attempt->waits_for_ack)
		return;
	free(attempt->result);
	free(attempt);
}

void attempt_forget(struct attempt *attempt)
{
	CHECK(map_remove(attempt->sim->attempts, attempt->lease_id, strlen(attempt->lease_id)));
	list_remove(&attempt->of_worker);
	attempt->forgotten = true;
	if (attempt->result == NULL) /* given up: the build service had it back before */
		worker_give_slot(attempt->sim, attempt->worker, 0);
	free_when_idle(attempt);
}

void attempt_timer(struct attempt *attempt, int64_t now_us)
{
	attempt->timed = false;
	if (attempt->forgotten)
		free_when_idle(attempt);
	else
		attempt_go_on(attempt, now_us);
}

void attempt_acked(struct attempt *attempt, int64_t now_us)
{
	attempt->waits_for_ack = false;
	if (attempt->forgotten)
		free_when_idle(attempt);
	else
		attempt_go_on(attempt, now_us);
}

/* At the end: those in the heap and those that nobody released. */
void attempts_free(struct sim *sim)
{
	for (struct map_iter it = {0}; map_next(sim->attempts, &it);) {
		struct attempt *attempt = it.value;
		attempt->timed = attempt->waits_for_ack = false;
		attempt_forget(attempt);
	}
}
