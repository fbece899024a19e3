#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "executor/proxy/request_head.h"

static struct request_head head;
static int status;

/* Of a head that comes in pieces. */
static ptrdiff_t parse(const char *text, size_t piece)
{
	size_t len = strlen(text), seen = 0;
	const char *why = NULL;
	for (size_t at = piece;; at += piece) {
		size_t now = at < len ? at : len;
		ptrdiff_t size = request_head_parse(text, now, seen, &head, &status, &why);
		if (size != 0 || now == len)
			return size;
		seen = now;
	}
}

#define BEGINNING "POST /v1/messages?beta=true HTTP/1.1\r\nHost: h\r\n"

TEST(a_head_is_read_however_it_is_cut)
{
	static const char text[] = BEGINNING "Content-Length: 12\r\nX-Api-Key: k\r\n\r\nbody";
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		assert_int_equal(parse(text, piece), sizeof(text) - 1 - 4);
		assert_int_equal(head.path_len, strlen("/v1/messages"));
		assert_int_equal(head.query_len, strlen("beta=true"));
		assert_memory_equal(head.query, "beta=true", head.query_len);
		assert_int_equal(head.body_bytes, 12);
		assert_true(head.keep_alive);
		assert_memory_equal(request_head_find(&head, "x-api-key")->value, "k", 1);
		assert_null(request_head_find(&head, "authorization"));
	}
}

TEST(bodies_have_one_length)
{
	assert_true(parse(BEGINNING "\r\n", 1000) > 0);
	assert_int_equal(head.body_bytes, 0);
	assert_true(parse(BEGINNING "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", 1000) > 0);
	assert_int_equal(head.body_bytes, -1);
	assert_false(head.keep_alive);
	assert_true(parse(BEGINNING "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 1000) > 0);
	assert_true(head.expects_continue);
}

static void is_refused(const char *text, int wanted)
{
	assert_int_equal(parse(text, 1000000), -1);
	assert_int_equal(status, wanted);
}

TEST(heads_that_could_be_read_in_two_ways_are_refused)
{
	is_refused(BEGINNING "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400);
	is_refused(BEGINNING "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
	is_refused(BEGINNING "Transfer-Encoding: gzip, chunked\r\n\r\n", 400);
	is_refused(BEGINNING "Content-Length: +5\r\n\r\n", 400);
	is_refused(BEGINNING "Content-Length: 5, 5\r\n\r\n", 400);
	is_refused(BEGINNING "X: a\r\n folded\r\n\r\n", 400);
	is_refused(BEGINNING "X : a\r\n\r\n", 400);
	is_refused("POST /v1/messages HTTP/1.0\r\n\r\n", 505);
	is_refused("\x16\x03\x01 hello\r\n\r\n", 400);
	is_refused(BEGINNING "Content-Encoding: gzip\r\n\r\n", 415);
	is_refused(BEGINNING "Content-Length: 99999999999\r\n\r\n", 413);
}

TEST(a_head_has_a_largest_size)
{
	CLEANUP(free_p) char *text = xmalloc(REQUEST_HEAD_MAX_BYTES + 1);
	memset(text, 'a', REQUEST_HEAD_MAX_BYTES);
	memcpy(text, BEGINNING "X: ", strlen(BEGINNING "X: "));
	text[REQUEST_HEAD_MAX_BYTES] = '\0';
	is_refused(text, 431);
	struct buffer many;
	buffer_init(&many, 4096);
	(void)buffer_append_str(&many, BEGINNING);
	for (int i = 0; i < REQUEST_MAX_HEADERS; i++)
		(void)buffer_append_str(&many, "X: a\r\n");
	(void)buffer_append_str(&many, "\r\n");
	is_refused(many.data, 400);
	buffer_release(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_read_however_it_is_cut),
		cmocka_unit_test(bodies_have_one_length),
		cmocka_unit_test(heads_that_could_be_read_in_two_ways_are_refused),
		cmocka_unit_test(a_head_has_a_largest_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
