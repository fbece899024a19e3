#include "tests/unit/unit.h"

#include "common/base/alloc.h"

TEST(xcalloc_zeroes)
{
	CLEANUP(free_p) unsigned char *bytes = xcalloc(16, 4);
	for (int i = 0; i < 64; i++)
		assert_int_equal(bytes[i], 0);
}

TEST(a_size_of_zero_gives_memory_that_can_be_freed)
{
	free(xmalloc(0));
	free(xcalloc(0, 8));
	free(xmemdup("", 0));
	free(xrealloc(xmalloc(1), 0));
}

TEST(xrealloc_keeps_the_content)
{
	CLEANUP(free_p) char *text = xstrdup("abc");
	text = xrealloc(text, 1000);
	assert_string_equal(text, "abc");
}

static void overflow(void *arg)
{
	(void)arg;
	volatile size_t half = SIZE_MAX / 2;
	free(xreallocarray(NULL, half, 4));
}

TEST(xreallocarray_aborts_when_the_product_overflows)
{
	unit_assert_aborts(overflow, NULL);
}

TEST(xstrdup_of_null_is_null)
{
	assert_null(xstrdup(NULL));
}

TEST(xstrndup_stops_at_the_length_and_at_the_nul)
{
	CLEANUP(free_p) char *cut = xstrndup("abcdef", 3);
	CLEANUP(free_p) char *whole = xstrndup("ab", 10);
	assert_string_equal(cut, "abc");
	assert_string_equal(whole, "ab");
}

TEST(xmemdup_copies_bytes)
{
	CLEANUP(free_p) char *copy = xmemdup("a\0b", 3);
	assert_memory_equal(copy, "a\0b", 3);
}

TEST(xasprintf_formats)
{
	CLEANUP(free_p) char *text = xasprintf("%s-%d", "a", 7);
	assert_string_equal(text, "a-7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xcalloc_zeroes),
		cmocka_unit_test(a_size_of_zero_gives_memory_that_can_be_freed),
		cmocka_unit_test(xrealloc_keeps_the_content),
		cmocka_unit_test(xreallocarray_aborts_when_the_product_overflows),
		cmocka_unit_test(xstrdup_of_null_is_null),
		cmocka_unit_test(xstrndup_stops_at_the_length_and_at_the_nul),
		cmocka_unit_test(xmemdup_copies_bytes),
		cmocka_unit_test(xasprintf_formats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
