#include "tests/unit/unit.h"

#include <string.h>

#include "common/http/chunks.h"
#include "common/base/alloc.h"

#define INCOMPLETE (-2)
#define BROKEN (-1)

static char body[16384];
static size_t body_len;

/* As h2o does it: what comes is appended, decoded where it lies, and only what is body stays. */
static ssize_t decode_in_pieces(const char *text, size_t len, size_t piece)
{
	struct phr_chunked_decoder decoder = {.consume_trailer = 1};
	ssize_t result = INCOMPLETE;
	body_len = 0;
	for (size_t at = 0; at < len && result == INCOMPLETE; at += piece) {
		size_t count = len - at < piece ? len - at : piece;
		assert_true(body_len + count <= sizeof(body));
		memcpy(body + body_len, text + at, count);
		result = phr_decode_chunked(&decoder, body + body_len, &count);
		body_len += count;
		if (result > 0 && at + piece < len)
			result += (ssize_t)(len - at - piece);
		else if (result == 0 && at + piece < len)
			result = (ssize_t)(len - at - piece);
	}
	return result;
}

static ssize_t decode(const char *text)
{
	return decode_in_pieces(text, strlen(text), strlen(text) + 1);
}

static void assert_body(const char *expected)
{
	assert_int_equal(body_len, strlen(expected));
	assert_memory_equal(body, expected, body_len);
}

TEST(chunks_become_a_body)
{
	assert_int_equal(decode("5\r\nhello\r\n0\r\n\r\n"), 0);
	assert_body("hello");
	assert_int_equal(decode("1\r\na\r\n0a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"), 0);
	assert_body("a01234567890123456789");
	assert_int_equal(decode("0\r\n\r\n"), 0);
	assert_body("");
	assert_int_equal(decode("2\r\n\r\n\r\n0\r\n\r\n"), 0);
	assert_body("\r\n");
}

TEST(it_does_not_matter_how_the_bytes_come)
{
	static const char text[] = "5\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx: y\r\nz:\r\n\r\nGET ";
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		assert_int_equal(decode_in_pieces(text, sizeof(text) - 1, piece), 4);
		assert_body("helloabcdefghijklmnopqrstuvwxyz");
	}
}

TEST(what_follows_is_left_where_it_can_be_read)
{
	char text[] = "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1";
	size_t size = sizeof(text) - 1;
	struct phr_chunked_decoder decoder = {.consume_trailer = 1};
	assert_int_equal(phr_decode_chunked(&decoder, text, &size), 14);
	assert_int_equal(size, 5);
	assert_memory_equal(text, "helloGET / HTTP/1.1", 19);
}

TEST(an_unfinished_body_waits)
{
	static const char text[] = "5\r\nhello\r\n0\r\nx: y\r\n\r\n";
	for (size_t len = 1; len < sizeof(text) - 1; len++)
		assert_int_equal(decode_in_pieces(text, len, len), INCOMPLETE);
}

TEST(what_others_may_read_in_another_way_is_broken)
{
	static const char *const texts[] = {
		"\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n",
		"-5\r\n",
		"+5\r\n",
		" 5\r\n",
		"5 \r\nhello\r\n",
		"5\t\r\nhello\r\n",
		"5;\r\nhello\r\n",
		"5;a=b\r\nhello\r\n",
		"5;\n\r\n",
		"5\nhello\r\n",
		"5\r\rhello\r\n",
		"5\r\nhello\n0\r\n\r\n",
		"5\r\nhello\r\r\n0\r\n\r\n",
		"5\r\nhelloo\r\n0\r\n\r\n",
		"5\r\nhell\r\n0\r\n\r\n",
		"5\r\nhello0\r\n\r\n",
		"G\r\n",
		"5,5\r\n",
		"000000005\r\nhello\r\n",
		"ffffffffffffffff5\r\n",
		"0\n\r\n",
		"0\r\n\n",
		"0\r\nx: y\n\r\n",
		"0\r\nx: y\r\n folded\r\n\r\n",
		"0\r\n x: y\r\n\r\n",
		"0\r\n\rx",
		"0;\r\n\r\n",
		"0 \r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(decode(texts[i]), BROKEN);
		assert_int_equal(decode_in_pieces(texts[i], strlen(texts[i]), 1), BROKEN);
	}
	assert_int_equal(decode_in_pieces("0\r\nx: \0\r\n\r\n", 11, 11), BROKEN);
}

TEST(trailers_have_a_limit)
{
	static const char last[3] = "0\r\n", end[4] = "\r\n\r\n", late_end[5] = "a\r\n\r\n";
	char *text = xcalloc(1, CHUNK_TRAILERS_MAX + 64);
	size_t len = sizeof(last);
	memcpy(text, last, sizeof(last));
	memset(text + len, 'a', CHUNK_TRAILERS_MAX);
	len += CHUNK_TRAILERS_MAX;
	memcpy(text + len, end, sizeof(end));
	assert_int_equal(decode_in_pieces(text, len + sizeof(end), len + sizeof(end)), 0);
	memcpy(text + len, late_end, sizeof(late_end));
	assert_int_equal(decode_in_pieces(text, len + sizeof(late_end), len + sizeof(late_end)), BROKEN);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_become_a_body),
		cmocka_unit_test(it_does_not_matter_how_the_bytes_come),
		cmocka_unit_test(what_follows_is_left_where_it_can_be_read),
		cmocka_unit_test(an_unfinished_body_waits),
		cmocka_unit_test(what_others_may_read_in_another_way_is_broken),
		cmocka_unit_test(trailers_have_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
