#include "tests/unit/unit.h"

#include <pthread.h>

#include "common/base/clock.h"
#include "common/base/ids.h"

TEST(random_bytes_differ)
{
	uint8_t a[32] = {0}, b[32] = {0};
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	random_bytes(a, 0);
}

TEST(random_below_stays_below_and_reaches_all)
{
	bool seen[5] = {false};
	for (int i = 0; i < 1000; i++) {
		uint32_t value = random_below(5);
		assert_true(value < 5);
		seen[value] = true;
	}
	for (int i = 0; i < 5; i++)
		assert_true(seen[i]);
	assert_int_equal(random_below(1), 0);
}

static void assert_version(const char *text, char version)
{
	assert_true(uuid_is_valid(text, strlen(text)));
	assert_int_equal(text[14], version);
	assert_non_null(strchr("89ab", text[19]));
}

TEST(versions_and_variants_are_set)
{
	char text[UUID_TEXT_SIZE];
	uuid_v4(text);
	assert_version(text, '4');
	uuid_v7(text);
	assert_version(text, '7');
	const uint8_t digest[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
								0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uuid_v8(digest, text);
	assert_string_equal(text, "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

TEST(the_version_is_read_from_the_text)
{
	assert_int_equal(uuid_version("ffffffff-ffff-8fff-bfff-ffffffffffff"), 8);
	assert_int_equal(uuid_version("ffffffff-ffff-7fff-bfff-ffffffffffff"), 7);
	assert_int_equal(uuid_version("ffffffff-ffff-ffff-bfff-ffffffffffff"), 15);
}

TEST(v7_begins_with_the_milliseconds_of_now)
{
	char text[UUID_TEXT_SIZE];
	int64_t before = clock_wall_us() / 1000;
	uuid_v7(text);
	unsigned long long high = strtoull(text, NULL, 16), low = strtoull(text + 9, NULL, 16);
	int64_t ms = (int64_t)(high << 16 | low);
	assert_in_range(ms, before, before + 10000);
}

TEST(v7_grows_within_a_process)
{
	char last[UUID_TEXT_SIZE], next[UUID_TEXT_SIZE];
	uuid_v7(last);
	for (int i = 0; i < 20000; i++) {
		uuid_v7(next);
		assert_true(strcmp(next, last) > 0);
		memcpy(last, next, sizeof(last));
	}
}

#define PER_THREAD 2000

static void *make_ids(void *arg)
{
	char(*ids)[UUID_TEXT_SIZE] = arg;
	for (int i = 0; i < PER_THREAD; i++)
		uuid_v7(ids[i]);
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_TEXT_SIZE);
}

TEST(v7_ids_of_several_threads_have_distinct_first_halves)
{
	static char ids[4 * PER_THREAD][UUID_TEXT_SIZE];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[(ptrdiff_t)i * PER_THREAD]), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	qsort(ids, ARRAY_LEN(ids), UUID_TEXT_SIZE, compare_ids);
	for (size_t i = 1; i < ARRAY_LEN(ids); i++)
		assert_memory_not_equal(ids[i - 1], ids[i], 18); /* milliseconds and counter */
}

TEST(only_lower_case_8_4_4_4_12_is_valid)
{
	static const char *const wrong[] = {
		"",
		"0190f2a0-0000-7000-8000-00000000000",
		"0190f2a0-0000-7000-8000-0000000000000",
		"0190F2A0-0000-7000-8000-000000000000",
		"0190f2a0x0000-7000-8000-000000000000",
		"0190f2a000000-7000-8000-000000000000",
		"0190f2a0-0000-7000-8000-00000000000g",
		"{190f2a0-0000-7000-8000-00000000000}",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(uuid_is_valid(wrong[i], strlen(wrong[i])));
	assert_true(uuid_is_valid("0190f2a0-0000-7000-8000-000000000000", 36));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(random_below_stays_below_and_reaches_all),
		cmocka_unit_test(versions_and_variants_are_set),
		cmocka_unit_test(the_version_is_read_from_the_text),
		cmocka_unit_test(v7_begins_with_the_milliseconds_of_now),
		cmocka_unit_test(v7_grows_within_a_process),
		cmocka_unit_test(v7_ids_of_several_threads_have_distinct_first_halves),
		cmocka_unit_test(only_lower_case_8_4_4_4_12_is_valid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
