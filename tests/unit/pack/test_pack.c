#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/pack/pack.h"

#define MAX_BYTES ((size_t)1 << 20)

static struct packer *packer;
static struct buffer packed, plain;

static int begin(void **state UNUSED)
{
	packer = packer_new();
	buffer_init(&packed, 2 * MAX_BYTES);
	buffer_init(&plain, MAX_BYTES);
	return 0;
}

static int end(void **state UNUSED)
{
	packer_free(packer);
	buffer_release(&packed);
	buffer_release(&plain);
	return 0;
}

static void comes_back(const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	buffer_clear(&packed);
	buffer_clear(&plain);
	assert_int_equal(packer_append(packer, data, len, &packed), 0);
	assert_int_equal(unpack(packed.data, packed.len, MAX_BYTES, &plain, &err), 0);
	assert_int_equal(plain.len, len);
	if (len > 0)
		assert_memory_equal(plain.data, data, len);
}

static char *repeat(size_t len)
{
	char *text = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		text[i] = "[{\"time\":\"2026-11-28\"},"[i % 23];
	return text;
}

TEST(what_is_packed_comes_back)
{
	static const size_t sizes[] = {1, 100, 65536, 500000};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CLEANUP(free_p) char *text = repeat(sizes[i]);
		comes_back(text, sizes[i]);
		assert_true(sizes[i] < 1000 || packed.len < sizes[i] / 10);
	}
	comes_back("", 0);
}

TEST(what_would_not_be_shorter_stays_as_it_is)
{
	comes_back("[1]", 3);
	assert_string_equal(packed.data, "[1]");
}

TEST(what_looks_like_a_frame_comes_back_too)
{
	static const char odd[] = {0x28, (char)0xB5, 0x2F, (char)0xFD, 1, 2, 3};
	comes_back(odd, sizeof(odd));
}

TEST(what_was_stored_without_a_frame_is_as_legible)
{
	struct error err = ERROR_INIT;
	assert_int_equal(unpack("[{}]", 4, MAX_BYTES, &plain, &err), 0);
	assert_string_equal(plain.data, "[{}]");
}

static void is_refused(const char *data, size_t len, size_t max_bytes)
{
	struct error err = ERROR_INIT;
	buffer_clear(&plain);
	assert_int_equal(unpack(data, len, max_bytes, &plain, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(plain.len, 0);
}

TEST(a_frame_that_would_be_too_long_is_refused_before_it_is_unpacked)
{
	CLEANUP(free_p) char *text = repeat(500000);
	assert_int_equal(packer_append(packer, text, 500000, &packed), 0);
	is_refused(packed.data, packed.len, 499999);
	is_refused(text, 500000, 499999);
}

TEST(a_broken_frame_is_refused)
{
	CLEANUP(free_p) char *text = repeat(10000);
	assert_int_equal(packer_append(packer, text, 10000, &packed), 0);
	for (size_t len = 4; len < packed.len; len++)
		is_refused(packed.data, len, MAX_BYTES);
	packed.data[packed.len - 1] ^= 0x55;
	struct error err = ERROR_INIT;
	buffer_clear(&plain);
	/* Whatever becomes of it, it is bounded. */
	assert_true(unpack(packed.data, packed.len, MAX_BYTES, &plain, &err) < 0 || plain.len == 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_packed_comes_back, begin, end),
		cmocka_unit_test_setup_teardown(what_would_not_be_shorter_stays_as_it_is, begin, end),
		cmocka_unit_test_setup_teardown(what_looks_like_a_frame_comes_back_too, begin, end),
		cmocka_unit_test_setup_teardown(what_was_stored_without_a_frame_is_as_legible, begin, end),
		cmocka_unit_test_setup_teardown(a_frame_that_would_be_too_long_is_refused_before_it_is_unpacked, begin, end),
		cmocka_unit_test_setup_teardown(a_broken_frame_is_refused, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
