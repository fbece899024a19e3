#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "api-gateway/builds/key_index.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#define A "00000000-0000-8000-8000-00000000000a"
#define B "00000000-0000-8000-8000-00000000000b"
#define OTHER_PARTITION "00000000-0000-8000-8000-00000000000c"
#define MAX 4

static struct key_index *keys;
static const uint8_t one[SHA256_SIZE] = {1}, two[SHA256_SIZE] = {2};
static const struct key_row away = {.state = KEY_ROW_UNKNOWN};

static int setup(void **state UNUSED)
{
	keys = key_index_new(2, MAX);
	return 0;
}

static int teardown(void **state UNUSED)
{
	key_index_free(keys);
	return 0;
}

static void read_record(int32_t partition, int64_t offset, const char *id, const uint8_t hash[SHA256_SIZE])
{
	char value[128], hex[2 * SHA256_SIZE + 1];
	hex_encode(hash, SHA256_SIZE, hex);
	int len = snprintf(value, sizeof(value), "{\"request_hash\":\"%s\"}", hex);
	key_index_add(keys, partition, offset, id, value, (size_t)len);
	key_index_advance(keys, partition, offset + 1);
}

static enum key_verdict judge(const char *id, const uint8_t hash[SHA256_SIZE], struct key_row row)
{
	return key_index_judge(keys, 0, id, hash, &row);
}

static struct key_row absent(int64_t applied)
{
	return (struct key_row){.state = KEY_ROW_ABSENT, .applied = applied};
}

TEST(the_row_decides_when_there_is_one)
{
	struct key_row row = {.state = KEY_ROW_THERE, .has_hash = true};
	memcpy(row.hash, one, SHA256_SIZE);
	key_index_start(keys, 0, 0);
	read_record(0, 0, A, two); /* a later one, whatever the tail began with */
	assert_int_equal(judge(A, one, row), KEY_SAME);
	assert_int_equal(judge(A, two, row), KEY_OTHER);
	row.has_hash = false;
	assert_int_equal(judge(A, one, row), KEY_OTHER);
}

TEST(the_first_record_after_what_was_applied_decides_without_a_row)
{
	key_index_start(keys, 0, 5);
	read_record(0, 5, A, one);
	read_record(0, 6, A, two);
	assert_int_equal(judge(A, one, absent(5)), KEY_SAME);
	assert_int_equal(judge(A, two, absent(5)), KEY_OTHER);
	assert_int_equal(judge(B, one, absent(5)), KEY_FREE);
}

TEST(nothing_is_decided_about_records_that_were_not_read)
{
	key_index_start(keys, 0, 5);
	read_record(0, 5, A, one);
	assert_int_equal(judge(A, one, absent(4)), KEY_UNDECIDED);
	assert_int_equal(judge(B, one, absent(4)), KEY_UNDECIDED);
}

TEST(an_applied_record_without_a_row_decides_nothing)
{
	key_index_start(keys, 0, 5);
	read_record(0, 5, A, one);
	assert_int_equal(judge(A, one, absent(6)), KEY_UNDECIDED);
}

TEST(without_postgres_the_first_known_record_decides)
{
	key_index_start(keys, 0, 5);
	read_record(0, 5, A, one);
	assert_int_equal(judge(A, one, away), KEY_SAME);
	assert_int_equal(judge(A, two, away), KEY_OTHER);
	assert_int_equal(judge(B, two, away), KEY_FREE);
}

TEST(what_postgres_could_not_say_is_not_decided_here)
{
	const struct key_row failed = {.state = KEY_ROW_FAILED};
	key_index_start(keys, 0, 5);
	read_record(0, 5, A, one);
	assert_int_equal(judge(A, one, failed), KEY_UNDECIDED);
	assert_int_equal(judge(B, one, failed), KEY_UNDECIDED);
}

TEST(the_oldest_go_first_and_prove_nothing_any_more)
{
	char id[UUID_TEXT_SIZE];
	key_index_start(keys, 0, 0);
	for (int i = 0; i <= MAX; i++) {
		(void)snprintf(id, sizeof(id), "00000000-0000-8000-8000-%012d", i);
		read_record(0, i, id, one);
	}
	assert_int_equal(judge("00000000-0000-8000-8000-000000000000", two, away), KEY_FREE);
	assert_int_equal(judge("00000000-0000-8000-8000-000000000000", two, absent(0)), KEY_UNDECIDED);
	assert_int_equal(judge("00000000-0000-8000-8000-000000000001", two, absent(1)), KEY_OTHER);
}

TEST(beginning_again_elsewhere_proves_only_what_follows)
{
	key_index_start(keys, 0, 0);
	read_record(0, 0, A, one);
	key_index_start(keys, 0, 1); /* where it was */
	assert_int_equal(judge(B, one, absent(0)), KEY_FREE);
	key_index_start(keys, 0, 9);
	assert_int_equal(judge(B, one, absent(0)), KEY_UNDECIDED);
	assert_int_equal(judge(B, one, absent(9)), KEY_FREE);
	assert_int_equal(judge(A, two, away), KEY_OTHER);
}

TEST(beginning_again_further_back_forgets_what_was_read_from_there_on)
{
	key_index_start(keys, 0, 0);
	read_record(0, 0, A, one);
	read_record(0, 1, B, one);
	key_index_start(keys, 1, 0);
	read_record(1, 1, OTHER_PARTITION, one);
	key_index_start(keys, 0, 1);
	assert_int_equal(judge(A, one, away), KEY_SAME);
	assert_int_equal(judge(B, one, away), KEY_FREE);
	assert_int_equal(judge(OTHER_PARTITION, one, away), KEY_SAME);
	read_record(0, 1, B, two); /* what lies there now */
	assert_int_equal(judge(B, two, away), KEY_SAME);
}

TEST(a_record_without_a_hash_is_like_no_body)
{
	key_index_start(keys, 0, 0);
	key_index_add(keys, 0, 0, A, "{\"request_hash\":null}", 21);
	key_index_add(keys, 0, 1, B, "no JSON", 7);
	key_index_advance(keys, 0, 2);
	assert_int_equal(judge(A, one, away), KEY_OTHER);
	assert_int_equal(judge(B, one, away), KEY_OTHER);
}

static int calls;

static void count(struct key_waiter *waiter UNUSED)
{
	calls++;
}

TEST(who_waits_is_told_once_when_his_record_was_read)
{
	struct key_waiter first = {.partition = 0, .offset = 0, .passed = count};
	struct key_waiter second = {.partition = 0, .offset = 1, .passed = count};
	calls = 0;
	key_index_start(keys, 0, 0);
	assert_false(key_index_wait(keys, &first));
	assert_false(key_index_wait(keys, &second));
	key_index_advance(keys, 1, 100); /* another partition */
	assert_int_equal(calls, 0);
	key_index_advance(keys, 0, 1);
	assert_int_equal(calls, 1);
	key_index_advance(keys, 0, 2);
	key_index_advance(keys, 0, 3);
	assert_int_equal(calls, 2);
	assert_false(key_index_cancel(keys, &first));
}

TEST(who_comes_after_his_record_does_not_wait)
{
	struct key_waiter late = {.partition = 0, .offset = 7, .passed = count};
	calls = 0;
	key_index_start(keys, 0, 8);
	assert_true(key_index_wait(keys, &late));
	assert_false(key_index_cancel(keys, &late));
	assert_int_equal(calls, 0);
}

TEST(who_gave_up_is_not_told)
{
	struct key_waiter waiter = {.partition = 0, .offset = 0, .passed = count};
	calls = 0;
	key_index_start(keys, 0, 0);
	assert_false(key_index_wait(keys, &waiter));
	assert_true(key_index_cancel(keys, &waiter));
	assert_false(key_index_cancel(keys, &waiter));
	key_index_advance(keys, 0, 1);
	assert_int_equal(calls, 0);
}

#define RACES 100000
#define RACES_MS 2000 /* fewer where every step is dear: under a sanitizer, on a machine that does other things */
#define PATIENCE_MS 60000

struct race {
	_Atomic int64_t begun; /* the offset that somebody is about to wait for */
	_Atomic int64_t told;
	_Atomic bool over;
};
static struct race race;

static void tell(struct key_waiter *waiter)
{
	atomic_store(&race.told, waiter->offset);
}

/* The tail: passes each record at the moment that somebody begins to wait for it. */
static void *pass(void *arg UNUSED)
{
	for (int64_t offset = 0;; offset++) {
		for (int spins = 0; atomic_load(&race.begun) < offset; spins++) {
			if (atomic_load(&race.over))
				return NULL;
			if (spins > 1000)
				(void)sched_yield();
		}
		for (int delay = 0; delay < offset % 64; delay++)
			atomic_thread_fence(memory_order_seq_cst); /* now here, now there in what the other one does */
		key_index_advance(keys, 0, offset + 1);
	}
}

static bool is_told(int64_t offset)
{
	int64_t deadline_ms = clock_boot_ms() + PATIENCE_MS;
	while (atomic_load(&race.told) < offset && clock_boot_ms() < deadline_ms)
		(void)sched_yield();
	return atomic_load(&race.told) >= offset;
}

TEST(nobody_is_forgotten_who_begins_to_wait_while_his_record_passes)
{
	pthread_t tail;
	bool told = true;
	race = (struct race){.begun = -1, .told = -1};
	key_index_start(keys, 0, 0);
	assert_int_equal(pthread_create(&tail, NULL, pass, NULL), 0);
	int64_t until_ms = clock_boot_ms() + RACES_MS;
	for (int64_t offset = 0; told && offset < RACES && clock_boot_ms() < until_ms; offset++) {
		struct key_waiter waiter = {.partition = 0, .offset = offset, .passed = tell};
		atomic_store(&race.begun, offset);
		if (!key_index_wait(keys, &waiter))
			told = is_told(offset);
		if (!told)
			(void)key_index_cancel(keys, &waiter);
	}
	atomic_store(&race.over, true); /* the thread ends before the index does, whatever was seen */
	assert_int_equal(pthread_join(tail, NULL), 0);
	assert_true(told);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_row_decides_when_there_is_one),
		T(the_first_record_after_what_was_applied_decides_without_a_row),
		T(nothing_is_decided_about_records_that_were_not_read),
		T(an_applied_record_without_a_row_decides_nothing),
		T(without_postgres_the_first_known_record_decides),
		T(what_postgres_could_not_say_is_not_decided_here),
		T(the_oldest_go_first_and_prove_nothing_any_more),
		T(beginning_again_elsewhere_proves_only_what_follows),
		T(beginning_again_further_back_forgets_what_was_read_from_there_on),
		T(a_record_without_a_hash_is_like_no_body),
		T(who_waits_is_told_once_when_his_record_was_read),
		T(who_comes_after_his_record_does_not_wait),
		T(who_gave_up_is_not_told),
		T(nobody_is_forgotten_who_begins_to_wait_while_his_record_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
