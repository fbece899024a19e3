/*
 * kiln-sim-executor: many simulated workers in one process that speak the real topics exactly (docs/messages.md), with
 * attempts that do nothing but take their time. One thread does everything but the delivery reports.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/queue.h"
#include "common/kafka/consumer.h"
#include "common/kafka/producer.h"
#include "tests/bench/sim/timers.h"

#define SIM_PARTITIONS_MAX 64

enum job_shape { JOB_FIXED, JOB_EXPONENTIAL, JOB_UNIFORM, JOB_ASKED };

struct sim_options {
	const char *brokers;
	int64_t workers, slots;
	int64_t phases; /* how many of preparing, agent, committing, pushing each attempt reports */
	enum job_shape shape;
	double job_ms, job_to_ms; /* the duration; the mean; from and to; nothing when each build asks for its own */
	char **labels;
	/* A line for each new assignment: build, attempt, clock_boot_us at its receipt and when the slot that it takes was
	 * given back (the worker's slots in turn; 0 = never taken before, or nobody knows). NULL = none */
	const char *record;
	bool drain; /* SIGTERM: nothing more is taken, what runs is finished */
};

struct sim {
	struct sim_options options;
	struct kafka_producer *results, *heartbeats;
	struct kafka_consumer *consumer;
	int64_t read_offset[SIM_PARTITIONS_MAX]; /* of kiln.build.assignments */
	struct sim_worker *workers;
	struct map *workers_by_id;
	struct map *attempts; /* by lease */
	struct timers timers;
	struct queue *acked; /* attempts whose `pushing` Kafka has, from the producer's thread */
	FILE *record;
	bool fenced, draining;
	unsigned short seed[3];
	int64_t assigned, finished, cancelled, abandoned, released, resent;
};

struct sim_worker {
	char id[UUID_TEXT_SIZE];
	char nonce[UUID_TEXT_SIZE];
	int32_t partition;
	int64_t heartbeat_us; /* when the next one is due */
	int64_t *freed_us;    /* a ring of `slots` times: when each free one was given back */
	int64_t freed_first, freed_len;
	struct list_node attempts;
	struct list_node waiting; /* reports.c's */
	int64_t waiting_us;       /* when they go in any case; INT64_MAX = there are none */
};

/* worker.c: what a worker says of itself. */
#define HEARTBEAT_US 5000000
int workers_start(struct sim *sim, struct error *err) MUST_CHECK;
void worker_heartbeat(struct sim *sim, struct sim_worker *worker, int64_t now_us);
void workers_bye(struct sim *sim);
/* Says so at once; heartbeats repeat it. */
void workers_drain(struct sim *sim);
/* The free slots, in the order in which they became free. */
void worker_give_slot(const struct sim *sim, struct sim_worker *worker, int64_t now_us);
int64_t worker_take_slot(const struct sim *sim, struct sim_worker *worker);

/* attempt.c: what becomes of an assignment. */
struct token_in {
	const char *build_id, *lease_id;
	int64_t attempt;
	const char *job_ms; /* the build's metadata.job_ms, may be NULL */
};
struct attempt {
	struct list_node of_worker;
	struct sim *sim;
	struct sim_worker *worker;
	char build_id[UUID_TEXT_SIZE], lease_id[UUID_TEXT_SIZE];
	int64_t number;
	int64_t began_us, duration_us;
	int stage;          /* phases that were reported */
	bool timed;         /* stands in the heap */
	bool waits_for_ack; /* of `pushing` */
	bool forgotten;     /* freed as soon as neither holds */
	char *result;       /* attempt.finished, kept until it is released */
	char result_id[UUID_TEXT_SIZE];
	int64_t result_us; /* when it was last sent */
	char base_sha[41], commit_sha[41];
	char settle_status[16]; /* "" = a run */
};
void attempt_assigned(struct sim *sim, struct sim_worker *worker, const struct token_in *token,
					  const char *settle_status, int64_t now_us);
void attempt_cancel(struct attempt *attempt);
void attempt_forget(struct attempt *attempt);
void attempt_go_on(struct attempt *attempt, int64_t now_us);
void attempt_timer(struct attempt *attempt, int64_t now_us);
void attempt_acked(struct attempt *attempt, int64_t now_us);
/* A result that was not released for a while is sent again. */
void attempt_resend(struct attempt *attempt, int64_t now_us);
void attempts_free(struct sim *sim);

/* reports.c: what nobody waits for goes before the worker's next report that is not patient, or after a while, as the
 * executor sends it (executor/daemon/sender.h). */
void report_later(struct attempt *attempt, const char *type, struct buffer body); /* the body is handed over */
void reports_flush(struct sim *sim, struct sim_worker *worker);

/* One record; the data is `body`. */
void sim_send(struct kafka_producer *producer, const char *topic, const char *key, const char *id, const char *type,
			  const struct buffer *body, kafka_delivered *done, void *ctx);
