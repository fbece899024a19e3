#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/attempt/output_tail.h"

static char *text_of(const struct output_tail *tail, size_t *ret_len)
{
	struct buffer out;
	buffer_init(&out, OUTPUT_TAIL_BYTES + 1);
	output_tail_text(tail, &out);
	return buffer_detach(&out, ret_len);
}

TEST(less_than_the_limit_is_kept_whole)
{
	struct output_tail tail = {.ring = NULL};
	size_t len;
	output_tail_add(&tail, "hello ", 6);
	output_tail_add(&tail, "world", 5);
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_string_equal(text, "hello world");
	output_tail_release(&tail);
}

TEST(nothing_is_nothing)
{
	struct output_tail tail = {.ring = NULL};
	size_t len;
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_int_equal(len, 0);
	output_tail_release(&tail);
}

TEST(the_last_bytes_are_kept_in_order)
{
	struct output_tail tail = {.ring = NULL};
	char line[16];
	for (int i = 0; i < 100000; i++)
		output_tail_add(&tail, line, (size_t)snprintf(line, sizeof(line), "%07d\n", i));
	size_t len;
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_int_equal(len, OUTPUT_TAIL_BYTES);
	assert_string_equal(text + len - 8, "0099999\n");
	assert_memory_equal(text, "0067232\n", 8);
	output_tail_release(&tail);
}

TEST(one_piece_larger_than_all_of_it)
{
	struct output_tail tail = {.ring = NULL};
	char *big = xmalloc(OUTPUT_TAIL_BYTES + 1000);
	memset(big, 'a', 1000);
	memset(big + 1000, 'b', OUTPUT_TAIL_BYTES);
	output_tail_add(&tail, "x", 1);
	output_tail_add(&tail, big, OUTPUT_TAIL_BYTES + 1000);
	size_t len;
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_int_equal(len, OUTPUT_TAIL_BYTES);
	assert_null(strchr(text, 'a'));
	free(big);
	output_tail_release(&tail);
}

TEST(it_begins_at_a_character_and_is_valid_utf8)
{
	struct output_tail tail = {.ring = NULL};
	for (int i = 0; i < 100000; i++)
		output_tail_add(&tail, "\xe2\x82\xac", 3);
	size_t len;
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_true(len > OUTPUT_TAIL_BYTES - 3 && len <= OUTPUT_TAIL_BYTES);
	assert_true(str_is_utf8(text, len));
	assert_memory_equal(text, "\xe2\x82\xac", 3);
	output_tail_release(&tail);
}

TEST(rubbish_becomes_valid_and_stays_within_the_limit)
{
	struct output_tail tail = {.ring = NULL};
	char *rubbish = xmalloc(OUTPUT_TAIL_BYTES);
	memset(rubbish, 0xff, OUTPUT_TAIL_BYTES);
	output_tail_add(&tail, rubbish, OUTPUT_TAIL_BYTES);
	size_t len;
	CLEANUP(free_p) char *text = text_of(&tail, &len);
	assert_true(len <= OUTPUT_TAIL_BYTES && len > OUTPUT_TAIL_BYTES - 3);
	assert_true(str_is_utf8(text, len));
	free(rubbish);
	output_tail_release(&tail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_than_the_limit_is_kept_whole),
		cmocka_unit_test(nothing_is_nothing),
		cmocka_unit_test(the_last_bytes_are_kept_in_order),
		cmocka_unit_test(one_piece_larger_than_all_of_it),
		cmocka_unit_test(it_begins_at_a_character_and_is_valid_utf8),
		cmocka_unit_test(rubbish_becomes_valid_and_stays_within_the_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
