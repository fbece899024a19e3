#include "tests/unit/unit.h"

#include <zlib.h>

#include "api-gateway/http/gzip.h"

TEST(a_text_comes_back_as_it_was)
{
	CLEANUP(buffer_release_p) struct buffer text;
	CLEANUP(buffer_release_p) struct buffer coded;
	buffer_init(&text, 1 << 20);
	buffer_init(&coded, 1 << 20);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(buffer_appendf(&text, "{\"number\":%d},", i), 0);
	assert_int_equal(buffer_append_str(&coded, "before"), 0);
	assert_int_equal(gzip_append(&coded, text.data, text.len), 0);
	assert_true(coded.len < text.len / 2);

	char back[1 << 17];
	z_stream stream = {.next_in = (Bytef *)coded.data + 6, .avail_in = (uInt)coded.len - 6};
	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	stream.next_out = (Bytef *)back;
	stream.avail_out = sizeof(back);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.total_out, text.len);
	assert_memory_equal(back, text.data, text.len);
	assert_int_equal(inflateEnd(&stream), Z_OK);
}

TEST(what_would_not_become_smaller_stays_as_it_is)
{
	CLEANUP(buffer_release_p) struct buffer coded;
	buffer_init(&coded, 1 << 20);
	assert_int_equal(gzip_append(&coded, "", 0), -1);
	assert_int_equal(gzip_append(&coded, "ab", 2), -1);
	uint8_t noise[4096];
	uint32_t random = 1;
	for (size_t i = 0; i < sizeof(noise); i++) {
		random = random * 1664525 + 1013904223;
		noise[i] = (uint8_t)(random >> 24);
	}
	assert_int_equal(gzip_append(&coded, noise, sizeof(noise)), -1);
	assert_int_equal(coded.len, 0);
}

TEST(what_does_not_fit_stays_as_it_is)
{
	CLEANUP(buffer_release_p) struct buffer coded;
	buffer_init(&coded, 16);
	static const char text[4096];
	assert_int_equal(gzip_append(&coded, text, sizeof(text)), -1);
	assert_int_equal(coded.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_comes_back_as_it_was),
		cmocka_unit_test(what_would_not_become_smaller_stays_as_it_is),
		cmocka_unit_test(what_does_not_fit_stays_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
