#include "tests/unit/unit.h"

#include "common/base/alloc.h"
#include "common/base/map.h"

TEST(an_absent_key_is_null)
{
	CLEANUP(map_free_p) struct map *map = map_new(10, NULL);
	assert_null(map_get_str(map, "x"));
	assert_false(map_remove(map, "x", 1));
	assert_null(map_take(map, "x", 1));
	assert_int_equal(map_len(map), 0);
}

TEST(keys_are_copied_bytes)
{
	CLEANUP(map_free_p) struct map *map = map_new(10, NULL);
	char key[] = "a\0b";
	int value;
	assert_int_equal(map_set(map, key, 3, &value), 0);
	key[0] = 'x';
	assert_ptr_equal(map_get(map, "a\0b", 3), &value);
	assert_null(map_get(map, "a\0c", 3));
	assert_null(map_get(map, "a", 1));
}

TEST(keys_of_any_length_are_told_apart)
{
	CLEANUP(map_free_p) struct map *map = map_new(100, NULL);
	char key[65];
	memset(key, 'k', sizeof(key));
	for (size_t len = 0; len <= 64; len++)
		assert_int_equal(map_set(map, key, len, &key[len]), 0);
	for (size_t len = 0; len <= 64; len++)
		assert_ptr_equal(map_get(map, key, len), &key[len]);
}

TEST(the_empty_key_is_a_key)
{
	CLEANUP(map_free_p) struct map *map = map_new(10, NULL);
	int value;
	assert_int_equal(map_set(map, NULL, 0, &value), 0);
	assert_ptr_equal(map_get(map, "", 0), &value);
}

TEST(setting_again_replaces_and_frees_the_old_value)
{
	CLEANUP(map_free_p) struct map *map = map_new(1, free);
	char *second = xstrdup("2");
	assert_int_equal(map_set(map, "k", 1, xstrdup("1")), 0);
	assert_int_equal(map_set(map, "k", 1, second), 0);
	assert_int_equal(map_set(map, "k", 1, second), 0); /* the same one: not freed */
	assert_string_equal(map_get_str(map, "k"), "2");
	assert_int_equal(map_len(map), 1);
}

TEST(a_full_map_refuses_new_keys_only)
{
	CLEANUP(map_free_p) struct map *map = map_new(2, NULL);
	int value;
	assert_int_equal(map_set(map, "a", 1, &value), 0);
	assert_int_equal(map_set(map, "b", 1, &value), 0);
	assert_int_equal(map_set(map, "c", 1, &value), -1);
	assert_null(map_get_str(map, "c"));
	assert_int_equal(map_set(map, "b", 1, map), 0);
	assert_true(map_remove(map, "a", 1));
	assert_int_equal(map_set(map, "c", 1, &value), 0);
}

TEST(take_gives_the_value_back_unfreed)
{
	CLEANUP(map_free_p) struct map *map = map_new(2, free);
	char *value = xstrdup("v");
	assert_int_equal(map_set(map, "k", 1, value), 0);
	assert_ptr_equal(map_take(map, "k", 1), value);
	assert_null(map_get_str(map, "k"));
	free(value);
}

TEST(clear_frees_all_and_the_map_can_be_used_again)
{
	CLEANUP(map_free_p) struct map *map = map_new(100, free);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++)
			assert_int_equal(map_set(map, &i, sizeof(i), xstrdup("v")), 0);
		assert_int_equal(map_len(map), 50);
		int key = 3;
		assert_true(map_remove(map, &key, sizeof(key)));
		map_clear(map);
		assert_int_equal(map_len(map), 0);
		assert_null(map_get(map, &key, sizeof(key)));
	}
}

/* Against a plain array, with random operations. */
TEST(many_operations_agree_with_a_simple_model)
{
	enum { KEYS = 300 };
	static int model[KEYS], values[KEYS];
	size_t count = 0;
	uint32_t random = 12345;
	CLEANUP(map_free_p) struct map *map = map_new(KEYS, NULL);
	for (int step = 0; step < 100000; step++) {
		random = random * 1664525 + 1013904223;
		uint32_t key = (random >> 8) % KEYS;
		if (random >> 31 == 0) {
			assert_int_equal(map_set(map, &key, sizeof(key), &values[key]), 0);
			count += model[key] == 0;
			model[key] = 1;
		} else {
			assert_int_equal(map_remove(map, &key, sizeof(key)), model[key]);
			count -= model[key] == 1;
			model[key] = 0;
		}
		assert_int_equal(map_len(map), count);
	}
	for (uint32_t key = 0; key < KEYS; key++)
		assert_ptr_equal(map_get(map, &key, sizeof(key)), model[key] ? &values[key] : NULL);
}

TEST(iteration_visits_every_entry_once_while_removing_the_current_one)
{
	CLEANUP(map_free_p) struct map *map = map_new(1000, NULL);
	int visits[1000] = {0};
	for (int i = 0; i < 1000; i++)
		assert_int_equal(map_set(map, &i, sizeof(i), &visits[i]), 0);
	for (struct map_iter it = {0}; map_next(map, &it);) {
		int *visit = it.value;
		(*visit)++;
		assert_int_equal(it.key_len, sizeof(int));
		if ((visit - visits) % 3 != 0)
			assert_true(map_remove(map, it.key, it.key_len));
	}
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(visits[i], 1);
		assert_int_equal(map_get(map, &i, sizeof(i)) != NULL, i % 3 == 0);
	}
	assert_int_equal(map_len(map), 334);
}

TEST(free_takes_null)
{
	map_free(NULL);
}

static void set_null(void *arg)
{
	(void)!map_set(arg, "k", 1, NULL);
}

TEST(a_null_value_aborts)
{
	CLEANUP(map_free_p) struct map *map = map_new(1, NULL);
	unit_assert_aborts(set_null, map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_absent_key_is_null),
		cmocka_unit_test(keys_are_copied_bytes),
		cmocka_unit_test(keys_of_any_length_are_told_apart),
		cmocka_unit_test(the_empty_key_is_a_key),
		cmocka_unit_test(setting_again_replaces_and_frees_the_old_value),
		cmocka_unit_test(a_full_map_refuses_new_keys_only),
		cmocka_unit_test(take_gives_the_value_back_unfreed),
		cmocka_unit_test(clear_frees_all_and_the_map_can_be_used_again),
		cmocka_unit_test(many_operations_agree_with_a_simple_model),
		cmocka_unit_test(iteration_visits_every_entry_once_while_removing_the_current_one),
		cmocka_unit_test(free_takes_null),
		cmocka_unit_test(a_null_value_aborts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
