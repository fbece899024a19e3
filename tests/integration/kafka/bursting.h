/* What tests of bursts share: a producer of a topic of its own, and what comes of each message. */
#pragma once

#include "common/kafka/bursts.h"
#include "common/kafka/kafka_private.h"
#include "services.h"

#define PATIENT_MS 60000 /* a message time-out that does not pass while Kafka is frozen for a moment */
#define FATES 50
#define NO_PARTITION 64 /* the topic has three; in the lane of partition 0, where messages without one are here */

/* Produce requests that were sent since open_bursts, as an interceptor of librdkafka sees them. */
extern _Atomic int requests;

/* A message, and what came of it. */
struct fate {
	struct bursts_op op;
	char key[16], data[16]; /* of one among many */
	_Atomic int reports;
	enum error_kind outcome;
	int64_t offset;
};

/* A topic, a producer, its bursts, and fates that last until it has reported them all, also when a test fails. */
struct fixture {
	char *topic;
	struct kafka_producer *producer;
	struct bursts *bursts;
	struct fate fates[FATES];
};

/* One burst under way, and room for all that a test has. */
extern const struct bursts_limits one;

/* The fixture of each test: a topic; and its end, with a Kafka that runs. */
int bursting_set_up(void **state);
int bursting_tear_down(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, bursting_set_up, bursting_tear_down)

/* `brokers`: NULL, or ones that are not there. */
void open_bursts(struct fixture *fixture, const char *brokers, int message_timeout_ms,
				 const struct bursts_limits *limits);
/* All fates are reported then. */
void close_bursts(struct fixture *fixture);

/* To partition 0. `data` is kept. */
struct kafka_message message_of(const struct fixture *fixture, const char *data);
/* A delivery into the fate that is `ctx`. */
void on_done(void *ctx, const struct kafka_delivery *delivery);
/* The fate is its message's from here on. */
int give(struct bursts *bursts, struct fate *fate, const struct kafka_message *message, struct error *err) MUST_CHECK;
/* The next `len` of the fixture's fates are theirs. */
struct fate *produce(struct fixture *fixture, int first, int len);

int reports_of(const struct fate *fates, int len);
/* Exactly one report each, which says `outcome`. */
void assert_fates(const struct fate *fates, int len, enum error_kind outcome);
