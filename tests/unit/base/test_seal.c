#include "tests/unit/unit.h"

#include "common/base/seal.h"

static const uint8_t key[SEAL_KEY_SIZE] = {1, 2, 3}, other_key[SEAL_KEY_SIZE] = {1, 2, 4};
static struct buffer sealed, opened;

static int setup(void **state UNUSED)
{
	buffer_init(&sealed, 1 << 20);
	buffer_init(&opened, 1 << 20);
	return 0;
}

static int teardown(void **state UNUSED)
{
	buffer_release(&sealed);
	buffer_release(&opened);
	return 0;
}

static int open_with(const uint8_t with[SEAL_KEY_SIZE], const char *bound)
{
	struct error err = ERROR_INIT;
	buffer_clear(&opened);
	int result = seal_open(&opened, with, bound, strlen(bound), sealed.data, sealed.len, &err);
	assert_true(result == 0 || (err.kind == ERR_INVALID && opened.len == 0));
	return result;
}

TEST(what_was_sealed_is_opened)
{
	assert_int_equal(seal_append(&sealed, key, "it", 2, "secret", 6), 0);
	assert_int_equal(sealed.len, 6 + SEAL_OVERHEAD);
	assert_null(memmem(sealed.data, sealed.len, "secret", 6));
	assert_int_equal(open_with(key, "it"), 0);
	assert_string_equal(opened.data, "secret");
}

TEST(nothing_can_be_sealed_too)
{
	assert_int_equal(seal_append(&sealed, key, NULL, 0, "", 0), 0);
	assert_int_equal(open_with(key, ""), 0);
	assert_int_equal(opened.len, 0);
}

TEST(it_opens_with_its_key_and_for_its_owner_only)
{
	assert_int_equal(seal_append(&sealed, key, "it", 2, "secret", 6), 0);
	assert_int_equal(open_with(other_key, "it"), -1);
	assert_int_equal(open_with(key, "at"), -1);
	assert_int_equal(open_with(key, ""), -1);
}

TEST(every_changed_byte_is_noticed)
{
	assert_int_equal(seal_append(&sealed, key, "it", 2, "secret", 6), 0);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 1;
		assert_int_equal(open_with(key, "it"), -1);
		sealed.data[i] ^= 1;
	}
	assert_int_equal(open_with(key, "it"), 0);
}

TEST(what_is_cut_is_refused)
{
	assert_int_equal(seal_append(&sealed, key, "it", 2, "secret", 6), 0);
	while (sealed.len > 0) {
		buffer_truncate(&sealed, sealed.len - 1);
		assert_int_equal(open_with(key, "it"), -1);
	}
}

TEST(the_same_text_looks_different_each_time)
{
	assert_int_equal(seal_append(&sealed, key, "it", 2, "secret", 6), 0);
	assert_int_equal(seal_append(&opened, key, "it", 2, "secret", 6), 0);
	assert_memory_not_equal(sealed.data, opened.data, sealed.len);
}

TEST(a_full_buffer_takes_nothing)
{
	struct buffer small;
	struct error err = ERROR_INIT;
	buffer_init(&small, 16);
	assert_int_equal(seal_append(&small, key, "it", 2, "secret", 6), -1);
	assert_int_equal(small.len, 0);
	static const char much[64];
	assert_int_equal(seal_append(&sealed, key, "it", 2, much, sizeof(much)), 0);
	assert_int_equal(seal_open(&small, key, "it", 2, sealed.data, sealed.len, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	buffer_release(&small);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_sealed_is_opened),     T(nothing_can_be_sealed_too), T(it_opens_with_its_key_and_for_its_owner_only),
		T(every_changed_byte_is_noticed), T(what_is_cut_is_refused),    T(the_same_text_looks_different_each_time),
		T(a_full_buffer_takes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
