#include "tests/unit/unit.h"

#include <string.h>

#include "executor/git/pkt_line.h"

static struct pkt_reader reader_of(const char *text)
{
	return (struct pkt_reader){.at = text, .left = strlen(text)};
}

TEST(what_is_written_is_read_again)
{
	struct buffer out;
	buffer_init(&out, 100);
	pkt_append(&out, "command=%s", "ls-refs");
	pkt_append_delimiter(&out);
	pkt_append(&out, "peel");
	pkt_append_flush(&out);
	assert_string_equal(out.data, "0014command=ls-refs\n00010009peel\n0000");

	struct pkt_reader reader = reader_of(out.data);
	const char *data;
	size_t len;
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_DATA);
	assert_int_equal(len, strlen("command=ls-refs\n"));
	assert_memory_equal(data, "command=ls-refs\n", len);
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_DELIMITER);
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_DATA);
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_FLUSH);
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_END);
	buffer_release(&out);
}

TEST(a_line_may_be_empty)
{
	struct pkt_reader reader = reader_of("0004");
	const char *data;
	size_t len = 1;
	assert_int_equal(pkt_next(&reader, &data, &len), PKT_DATA);
	assert_int_equal(len, 0);
}

TEST(what_is_no_line_is_malformed)
{
	static const char *const bad[] = {"0",       "000",  "0002", "0003", "00",   "0008abc",
									  "ffffabc", "-001", " 004", "zzzz", "+005a"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct pkt_reader reader = reader_of(bad[i]);
		const char *data;
		size_t len;
		assert_int_equal(pkt_next(&reader, &data, &len), PKT_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(a_line_may_be_empty),
		cmocka_unit_test(what_is_no_line_is_malformed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
