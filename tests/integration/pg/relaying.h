/* What tests of the outbox share: a relay, and the events that it has published. */
#pragma once

#include "common/kafka/producer.h"
#include "common/pg/outbox.h"
#include "services.h"

#define ALL_SHARDS ((UINT64_C(1) << OUTBOX_SHARDS) - 1)

/* Of the whole file: a database, a producer, and a connection. */
extern struct test_database database;
extern struct kafka_producer *producer;
extern struct pg_conn *conn;
/* Group fixtures: these, and the topic of build events; and their end. */
int relaying_set_up(void **state);
int relaying_set_up_without_topic(void **state);
int relaying_tear_down(void **state);

/* Of the running test, part of every key that is made here. */
extern char *run_id;
/* A test's fixtures: an empty outbox and a new run_id. */
int relaying_begin(void **state);
int relaying_end(void **state);

int64_t waiting_rows(void);

struct outbox_relay *test_relay(uint64_t shards, size_t batch);

#define EVENT_TIME "2026-11-23T17:20:00.000000Z"
void add_event(struct outbox_rows *rows, const char *topic, int key_number, int64_t sequence);
/* `per_key` events of each of `keys` keys, in transactions of one event of every key. */
void write_events(int keys, int first, int per_key);
/* Reads the event topic and looks at the keys of this test: per key the first occurrences must be 1, 2, 3, … */
void check_order(int keys, int per_key, int *ret_repeats);

struct test_event {
	const char *key;
	int count;
	bool is_tombstone;
	char id[96], type[32], source[32], subject[64], time[40], hash[72], sequence[16], trace[16], data[64], reason[64];
};
/* The last event of a key in its topic, and how many there are. `key` is kept. */
struct test_event test_find_event(const char *topic, const char *key);
