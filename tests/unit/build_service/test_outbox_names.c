#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "build-service/outbox_names.h"
#include "common/kafka/topics.h"

static struct build build_with(int number, int32_t last_sequence, int32_t new_events, size_t new_bytes)
{
	struct build build = {.last_sequence = last_sequence, .new_events = new_events, .new_bytes = new_bytes};
	(void)snprintf(build.id, sizeof(build.id), "01890000-0000-7000-8000-%012d", number);
	return build;
}

/* Elements of one of the columns; in their order. */
static size_t column(struct outbox_names *names, size_t number, char (*ret_elements)[UUID_TEXT_SIZE], size_t max)
{
	char *text = strdup(pg_array_text(&names->rows.column[number]));
	assert_non_null(text);
	size_t len = 0;
	for (char *state = NULL, *element = strtok_r(text, "{},\"", &state); element != NULL && len < max;
		 element = strtok_r(NULL, "{},\"", &state))
		(void)snprintf(ret_elements[len++], UUID_TEXT_SIZE, "%s", element);
	free(text);
	return len;
}

enum { SHARD, PART, BUILD, FIRST, LAST, BYTES };

TEST(a_build_is_named_with_the_events_of_this_transaction)
{
	struct outbox_names names;
	outbox_names_init(&names);
	struct build build = build_with(1, 9, 3, 700), quiet = build_with(2, 4, 0, 0);
	outbox_names_add(&names, &build);
	outbox_names_add(&names, &quiet);
	assert_int_equal(names.rows.len, 1);
	char found[4][UUID_TEXT_SIZE];
	char shard[16];
	(void)snprintf(shard, sizeof(shard), "%d",
				   topic_partition(topic_find(TOPIC_BUILD_EVENTS), build.id, strlen(build.id)));
	const char *const wanted[OUTBOX_NAME_COLUMNS] = {shard, "0", build.id, "7", "9", "700"};
	for (size_t i = 0; i < OUTBOX_NAME_COLUMNS; i++) {
		assert_int_equal(column(&names, i, found, 4), 1);
		assert_string_equal(found[0], wanted[i]);
	}
	outbox_names_clear(&names);
	assert_int_equal(names.rows.len, 0);
	outbox_names_release(&names);
}

#define MANY 2000

/* How many builds the fullest row has when each has so many bytes. */
static size_t fullest(struct outbox_names *names, size_t bytes)
{
	static char shards[MANY][UUID_TEXT_SIZE], parts[MANY][UUID_TEXT_SIZE];
	size_t counts[OUTBOX_SHARDS][MANY] = {{0}};
	outbox_names_clear(names);
	for (int i = 0; i < MANY; i++) {
		struct build build = build_with(i, 1, 1, bytes);
		outbox_names_add(names, &build);
	}
	assert_int_equal(column(names, SHARD, shards, MANY), MANY);
	assert_int_equal(column(names, PART, parts, MANY), MANY);
	size_t found = 0;
	for (size_t i = 0; i < MANY; i++) {
		size_t *count = &counts[strtol(shards[i], NULL, 10)][strtol(parts[i], NULL, 10)];
		if (++*count > found)
			found = *count;
	}
	return found;
}

TEST(a_row_is_bounded_in_builds_and_in_bytes)
{
	struct outbox_names names;
	outbox_names_init(&names);
	assert_int_equal(fullest(&names, 10), OUTBOX_PART_BUILDS);
	assert_int_equal(fullest(&names, OUTBOX_PART_BYTES / 4), 4);
	assert_int_equal(fullest(&names, 2 * OUTBOX_PART_BYTES), 1);
	outbox_names_release(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_build_is_named_with_the_events_of_this_transaction),
		cmocka_unit_test(a_row_is_bounded_in_builds_and_in_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
