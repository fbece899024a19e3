#include "tests/unit/unit.h"

#include "api-gateway/callers/shared_map.h"
#include "common/base/alloc.h"

struct thing {
	struct shared shared;
	int number;
};

static int alive;

static void free_thing(struct shared *self)
{
	alive--;
	free(CONTAINER_OF(self, struct thing, shared));
}

static struct thing *make(int number, size_t bytes)
{
	struct thing *thing = xcalloc(1, sizeof(*thing));
	shared_init(&thing->shared, free_thing);
	thing->shared.bytes = bytes;
	thing->number = number;
	alive++;
	return thing;
}

static void put_large(struct shared_map *map, const char *key, int number, size_t bytes)
{
	struct thing *thing = make(number, bytes);
	shared_map_put(map, key, strlen(key), &thing->shared);
	shared_unref(&thing->shared);
}

static void put(struct shared_map *map, const char *key, int number)
{
	put_large(map, key, number, 0);
}

static int get(struct shared_map *map, const char *key)
{
	struct shared *found = shared_map_get(map, key, strlen(key));
	int number = found != NULL ? CONTAINER_OF(found, struct thing, shared)->number : -1;
	shared_unref(found);
	return number;
}

TEST(what_is_put_is_found_until_it_is_removed)
{
	struct shared_map *map = shared_map_new(100, SIZE_MAX);
	put(map, "a", 1);
	put(map, "b", 2);
	put(map, "a", 3);
	assert_int_equal(get(map, "a"), 3);
	assert_int_equal(get(map, "b"), 2);
	assert_int_equal(shared_map_len(map), 2);
	shared_map_remove(map, "a", 1);
	shared_map_remove(map, "a", 1);
	assert_int_equal(get(map, "a"), -1);
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

TEST(a_reference_outlives_the_map)
{
	struct shared_map *map = shared_map_new(100, SIZE_MAX);
	put(map, "a", 1);
	struct shared *held = shared_map_get(map, "a", 1);
	shared_map_free(map);
	assert_int_equal(alive, 1);
	shared_unref(held);
	assert_int_equal(alive, 0);
}

TEST(the_same_object_may_be_put_again)
{
	struct shared_map *map = shared_map_new(100, SIZE_MAX);
	struct thing *thing = make(1, 10);
	shared_map_put(map, "a", 1, &thing->shared);
	shared_map_put(map, "a", 1, &thing->shared);
	shared_unref(&thing->shared);
	assert_int_equal(get(map, "a"), 1);
	assert_int_equal(shared_map_bytes(map), 10);
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

TEST(a_full_map_makes_room)
{
	struct shared_map *map = shared_map_new(32, SIZE_MAX);
	char key[16];
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		put(map, key, i);
		assert_int_equal(get(map, key), i);
	}
	assert_true(shared_map_len(map) <= 48);
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

TEST(a_map_that_is_full_of_bytes_makes_room)
{
	const size_t max_bytes = 16000;
	struct shared_map *map = shared_map_new(10000, max_bytes);
	char key[16];
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		put_large(map, key, i, 100);
		assert_int_equal(get(map, key), i);
		assert_true(shared_map_bytes(map) <= max_bytes + 16); /* each of the shards rounds up */
		assert_int_equal(shared_map_bytes(map), shared_map_len(map) * 100);
	}
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

TEST(what_is_larger_than_its_part_is_kept_alone)
{
	struct shared_map *map = shared_map_new(100, 1600);
	put_large(map, "a", 1, 90);
	put_large(map, "a", 2, 5000);
	assert_int_equal(get(map, "a"), 2);
	assert_int_equal(shared_map_bytes(map), 5000);
	put_large(map, "a", 3, 7);
	assert_int_equal(get(map, "a"), 3);
	assert_int_equal(shared_map_bytes(map), 7);
	shared_map_remove(map, "a", 1);
	assert_int_equal(shared_map_bytes(map), 0);
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

TEST(a_sweep_removes_what_was_not_put_again)
{
	struct shared_map *map = shared_map_new(100, SIZE_MAX);
	put_large(map, "old", 1, 5);
	put(map, "kept", 2);
	put(map, "touched", 5);
	shared_map_sweep_begin(map);
	struct shared *touched = shared_map_get(map, "touched", 7);
	shared_map_sweep_keep(map, touched);
	shared_unref(touched);
	put(map, "kept", 3);
	put(map, "new", 4);
	shared_map_sweep_end(map);
	assert_int_equal(get(map, "old"), -1);
	assert_int_equal(shared_map_bytes(map), 0);
	assert_int_equal(get(map, "touched"), 5);
	assert_int_equal(get(map, "kept"), 3);
	assert_int_equal(get(map, "new"), 4);
	shared_map_free(map);
	assert_int_equal(alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found_until_it_is_removed),
		cmocka_unit_test(a_reference_outlives_the_map),
		cmocka_unit_test(the_same_object_may_be_put_again),
		cmocka_unit_test(a_full_map_makes_room),
		cmocka_unit_test(a_map_that_is_full_of_bytes_makes_room),
		cmocka_unit_test(what_is_larger_than_its_part_is_kept_alone),
		cmocka_unit_test(a_sweep_removes_what_was_not_put_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
