/* What a test of the inbox works with: a database that its program keeps, and a topic and a consumer of its own. One
 * thread's. */
#pragma once

#include "inbox_member.h"

#define PLACE_PARTITIONS 3

struct inbox_place {
	struct test_database database; /* with member_tables */
	struct kafka_producer *producer;

	/* Of the running test. */
	int partitions;
	char *topic, *consumer;
	int sent; /* records */
};
extern struct inbox_place place;

void place_open(void);
void place_close(void);
void place_begin(int partitions);
void place_end(void);

/* cmocka's fixtures: of a group, and of a test with PLACE_PARTITIONS. */
int place_set_up_all(void **state);
int place_tear_down_all(void **state);
int place_set_up(void **state);
int place_tear_down(void **state);

/* Record n goes to partition n % partitions with the id "r<n>". */
void place_send(const char *say);
/* So many to each partition. */
void place_send_rounds(int rounds);
/* A member that reads the topic. */
void place_start(struct member *member);
/* Of all partitions together. */
int64_t place_stored_offsets(void);
