#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/http/framing.h"

static enum framing check_1_1(const char *head)
{
	return framing_check(head, strlen(head), false);
}

static enum framing check_1_0(const char *head)
{
	return framing_check(head, strlen(head), true);
}

TEST(an_ordinary_head_is_clear)
{
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), FRAMING_CLEAR);
	assert_int_equal(check_1_1("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na\nb"), FRAMING_CLEAR);
	assert_int_equal(check_1_1("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"), FRAMING_CLEAR);
	assert_int_equal(check_1_1("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"), FRAMING_CLEAR);
	assert_int_equal(check_1_0("GET / HTTP/1.0\r\n\r\n"), FRAMING_CLEAR);
}

TEST(names_that_only_look_alike_do_not_count)
{
	assert_int_equal(
		check_1_1("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length-x: 3\r\n"
				  "x-content-length: 3\r\ncontent-lengt: 3\r\nhosts: y\r\ntransfer-encodings: chunked\r\n\r\n"),
		FRAMING_CLEAR);
	assert_int_equal(
		check_1_1("GET /content-length: HTTP/1.1\r\nhost: content-length: 3\r\nc: content-length:\r\n\r\n"),
		FRAMING_CLEAR);
}

TEST(what_follows_the_head_is_not_looked_at)
{
	assert_int_equal(check_1_1("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n\nhost: y\ncontent-length: 4\n"),
					 FRAMING_CLEAR);
}

TEST(two_lengths_are_one_too_many)
{
	static const char *const lines[] = {
		"content-length: 3\r\ncontent-length: 4", "content-length: 3\r\ncontent-length: 3",
		"Content-Length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\nContent-length:3",
		"transfer-encoding: chunked\r\ntransfer-encoding: identity"};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char head[256];
		(void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n", lines[i]);
		assert_int_equal(check_1_1(head), FRAMING_TWO_LENGTHS);
	}
}

TEST(http_1_0_has_no_codings)
{
	assert_int_equal(check_1_0("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), FRAMING_CODED_1_0);
}

TEST(a_request_needs_one_host)
{
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\n\r\n"), FRAMING_HOSTS);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n"), FRAMING_HOSTS);
	assert_int_equal(check_1_0("GET / HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n"), FRAMING_HOSTS);
}

TEST(bare_line_feeds_are_refused_wherever_they_stand)
{
	assert_int_equal(check_1_1("GET / HTTP/1.1\nhost: x\r\n\r\n"), FRAMING_BARE_LINE_FEED);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\n\r\n"), FRAMING_BARE_LINE_FEED);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n\n"), FRAMING_BARE_LINE_FEED);
	assert_int_equal(check_1_1("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"), FRAMING_BARE_LINE_FEED);
}

TEST(folded_lines_are_refused)
{
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n y\r\n\r\n"), FRAMING_FOLDED);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n\tcontent-length: 3\r\n\r\n"), FRAMING_FOLDED);
}

TEST(a_head_without_an_end_is_refused)
{
	assert_int_equal(check_1_1(""), FRAMING_NO_END);
	assert_int_equal(check_1_1("\r\n"), FRAMING_NO_END);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n"), FRAMING_NO_END);
	assert_int_equal(check_1_1("GET / HTTP/1.1\r\nhost: x\r\n\r"), FRAMING_NO_END);
}

static size_t long_head(char *head, size_t line_len, size_t fields_len)
{
	static const char host[14] = "\r\nhost: x\r\nx: ", end[4] = "\r\n\r\n";
	size_t len = line_len;
	memset(head, 'a', len);
	memcpy(head + len, host, sizeof(host));
	len += sizeof(host);
	memset(head + len, 'b', fields_len);
	len += fields_len;
	memcpy(head + len, end, sizeof(end));
	return len + sizeof(end);
}

TEST(the_limits_of_line_and_head_are_exact)
{
	static char head[2 * FRAMING_HEAD_MAX];
	assert_int_equal(framing_check(head, long_head(head, FRAMING_LINE_MAX, 1), false), FRAMING_CLEAR);
	assert_int_equal(framing_check(head, long_head(head, FRAMING_LINE_MAX + 1, 1), false), FRAMING_LONG_LINE);
	size_t fixed = long_head(head, 1, 0);
	assert_int_equal(framing_check(head, long_head(head, 1, FRAMING_HEAD_MAX - fixed), false), FRAMING_CLEAR);
	assert_int_equal(framing_check(head, long_head(head, 1, FRAMING_HEAD_MAX - fixed + 1), false), FRAMING_LARGE_HEAD);
}

TEST(every_flaw_has_words)
{
	for (int i = FRAMING_BARE_LINE_FEED; i <= FRAMING_LARGE_HEAD; i++)
		assert_true(strlen(framing_detail((enum framing)i)) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_head_is_clear),
		cmocka_unit_test(names_that_only_look_alike_do_not_count),
		cmocka_unit_test(what_follows_the_head_is_not_looked_at),
		cmocka_unit_test(two_lengths_are_one_too_many),
		cmocka_unit_test(http_1_0_has_no_codings),
		cmocka_unit_test(a_request_needs_one_host),
		cmocka_unit_test(bare_line_feeds_are_refused_wherever_they_stand),
		cmocka_unit_test(folded_lines_are_refused),
		cmocka_unit_test(a_head_without_an_end_is_refused),
		cmocka_unit_test(the_limits_of_line_and_head_are_exact),
		cmocka_unit_test(every_flaw_has_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
