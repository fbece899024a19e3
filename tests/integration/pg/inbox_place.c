#include "inbox_place.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"

struct inbox_place place;

void place_open(void)
{
	test_database_init(&place.database);
	member_tables(&place.database);
	place.producer = test_producer();
}

void place_close(void)
{
	kafka_producer_free(place.producer, 1000);
	test_database_release(&place.database);
}

void place_begin(int partitions)
{
	place.partitions = partitions;
	place.topic = test_name("inbox");
	place.consumer = test_name("consumer");
	test_topic(place.topic, partitions, (const char *const[]){"max.message.bytes", "8388608", NULL});
	test_offset_rows(&place.database, place.consumer, place.topic, partitions);
	test_sql(&place.database, "TRUNCATE applied; TRUNCATE outbox; TRUNCATE dead_letters");
	place.sent = 0;
}

void place_end(void)
{
	free(place.topic);
	free(place.consumer);
}

int place_set_up_all(void **state)
{
	(void)state;
	place_open();
	return 0;
}

int place_tear_down_all(void **state)
{
	(void)state;
	place_close();
	return 0;
}

int place_set_up(void **state)
{
	(void)state;
	place_begin(PLACE_PARTITIONS);
	return 0;
}

int place_tear_down(void **state)
{
	(void)state;
	place_end();
	return 0;
}

void place_send(const char *say)
{
	char id[16];
	(void)snprintf(id, sizeof(id), "r%d", place.sent); /* fits */
	test_send(place.producer, place.topic, place.sent % place.partitions, id, id, "test", say);
	place.sent++;
}

void place_send_rounds(int rounds)
{
	for (int i = 0; i < rounds * place.partitions; i++)
		place_send("x");
}

void place_start(struct member *member)
{
	member_start(member, &place.database, place.consumer, (const char *const[]){place.topic}, 1, 0);
}

int64_t place_stored_offsets(void)
{
	char *sql = xasprintf("SELECT sum(next_offset) FROM consumer_offsets WHERE consumer = '%s'", place.consumer);
	int64_t sum = test_sql_int(&place.database, sql);
	free(sql);
	return sum;
}
