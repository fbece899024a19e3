#include "tests/unit/unit.h"

#include "api-gateway/builds/build_id.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"

#define MANY 4000

static int32_t partition_of(const char *id)
{
	return topic_partition(topic_find(TOPIC_BUILD_REQUESTS), id, strlen(id));
}

static void make(char ret[UUID_TEXT_SIZE])
{
	uint8_t random[8];
	random_bytes(random, sizeof(random));
	build_id_new(random, ret);
}

static int64_t moment(void)
{
	return clock_boot_ms() / BUILD_ID_MOMENT_MS;
}

TEST(ids_are_valid_different_and_in_the_order_of_their_making)
{
	char before[UUID_TEXT_SIZE] = "", id[UUID_TEXT_SIZE];
	for (int i = 0; i < MANY; i++) {
		make(id);
		assert_true(uuid_is_valid(id, strlen(id)));
		assert_int_equal(id[14], '7');
		assert_true(strcmp(before, id) < 0);
		memcpy(before, id, sizeof(before));
	}
}

TEST(ids_of_one_moment_share_a_partition)
{
	int shared = 0;
	while (shared < MANY) {
		char one[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
		int64_t before = moment();
		make(one);
		make(other);
		if (moment() != before)
			continue;
		assert_int_equal(partition_of(one), partition_of(other));
		shared++;
	}
}

TEST(moments_take_turns_at_all_partitions)
{
	int partitions = topic_find(TOPIC_BUILD_REQUESTS)->partitions, seen[64] = {0}, distinct = 0;
	int64_t end_ms = clock_boot_ms() + 60000;
	while (distinct < partitions) {
		char id[UUID_TEXT_SIZE];
		make(id);
		distinct += seen[partition_of(id)]++ == 0;
		assert_true(clock_boot_ms() < end_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_valid_different_and_in_the_order_of_their_making),
		cmocka_unit_test(ids_of_one_moment_share_a_partition),
		cmocka_unit_test(moments_take_turns_at_all_partitions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
