#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "executor/attempt/log.h"

/* A log whose records come out at the other end of a socket. */
static int ends[2];
static struct daemon_link log_link;
static struct attempt_log the_log;
static struct buffer received;

/* While nobody acknowledges: waits end at once, and the clock with them where they would have ended. */
static bool unanswered;
static int64_t ahead_ms;

int64_t __real_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void);
int __real_daemon_link_wait_acked(struct daemon_link *link, uint64_t id, int64_t deadline_ms, struct error *err);
int __wrap_daemon_link_wait_acked(struct daemon_link *link, uint64_t id, int64_t deadline_ms, struct error *err);

int64_t __wrap_clock_boot_ms(void)
{
	return __real_clock_boot_ms() + ahead_ms;
}

int __wrap_daemon_link_wait_acked(struct daemon_link *link, uint64_t id, int64_t deadline_ms, struct error *err)
{
	if (!unanswered)
		return __real_daemon_link_wait_acked(link, id, deadline_ms, err);
	ahead_ms = deadline_ms - __real_clock_boot_ms();
	return error_set(err, ERR_TIMEOUT, "nobody has answered");
}

static int begin(void **state UNUSED)
{
	unanswered = false;
	ahead_ms = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	int size = 4 * 1024 * 1024;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)); /* only for those who may */
	struct fencing_token token = {.build_id = "019363b1-aaaa-7000-8000-000000000001",
								  .lease_id = "11111111-1111-4111-8111-111111111111",
								  .attempt = 3};
	daemon_link_init(&log_link, ends[0]);
	attempt_log_init(&the_log, &log_link, &token);
	buffer_init(&received, (size_t)64 * 1024 * 1024);
	return 0;
}

static int end(void **state UNUSED)
{
	attempt_log_release(&the_log);
	daemon_link_release(&log_link);
	buffer_release(&received);
	return close(ends[0]) | close(ends[1]);
}

/* Acknowledges as the daemon does: at once. */
static void acknowledge(uint64_t id)
{
	struct buffer out;
	buffer_init(&out, 64);
	assert_int_equal(frame_append(&out, FRAME_ACK, id, NULL, 0), 0);
	assert_int_equal(send(ends[1], out.data, out.len, 0), (ssize_t)out.len);
	buffer_release(&out);
}

/* Takes in what was sent; the texts of all lines, joined by '|', and the size of the longest record. */
static char *lines_of(const char *stream, size_t *ret_longest, int64_t *ret_count)
{
	struct buffer texts;
	buffer_init(&texts, (size_t)64 * 1024 * 1024);
	int64_t next = 1;
	size_t longest = 0;
	struct frame frame;
	for (size_t at = 0; at < received.len;) {
		struct buffer rest = {.data = received.data + at, .len = received.len - at};
		assert_int_equal(frame_peek(&rest, &frame), 1);
		at += FRAME_HEADER_BYTES + frame.len;
		longest = frame.len > longest ? frame.len : longest;
		CLEANUP(cJSON_Delete_p) cJSON *record = NULL;
		struct error err = ERROR_INIT;
		assert_int_equal(json_parse(frame.data, frame.len, &record, &err), 0);
		assert_int_equal(json_get_int(record, "first_line", 0), next);
		assert_int_equal(json_get_int(record, "attempt", 0), 3);
		const cJSON *line;
		cJSON_ArrayForEach(line, json_get(record, "lines"))
		{
			next++;
			if (str_equal(json_get_string(line, "stream"), stream))
				assert_int_equal(
					buffer_appendf(&texts, "%s%s", texts.len > 0 ? "|" : "", json_get_string(line, "text")), 0);
		}
	}
	if (ret_longest != NULL)
		*ret_longest = longest;
	if (ret_count != NULL)
		*ret_count = next - 1;
	return buffer_detach(&texts, NULL);
}

static void receive(void)
{
	for (;;) {
		char *room = buffer_reserve(&received, 65536);
		assert_non_null(room);
		ssize_t got = recv(ends[1], room, 65536, MSG_DONTWAIT);
		if (got <= 0)
			break;
		buffer_commit(&received, (size_t)got);
	}
}

static void output(const char *data, size_t len)
{
	attempt_log_output(&the_log, STREAM_STDOUT, data, len);
	for (size_t i = 0; i < log_link.unacked_len; i++)
		acknowledge(log_link.unacked[i].id);
	(void)daemon_link_receive(&log_link);
	receive();
}

static void expect_stdout(const char *expected)
{
	attempt_log_end(&the_log, STREAM_STDOUT);
	attempt_log_flush(&the_log);
	receive();
	CLEANUP(free_p) char *texts = lines_of("stdout", NULL, NULL);
	assert_string_equal(texts, expected);
}

TEST(lines_come_out_whole_however_they_came_in)
{
	const char *text = "one\ntwo\r\n\nfour";
	for (size_t i = 0; i < strlen(text); i++)
		output(text + i, 1);
	expect_stdout("one|two||four");
}

TEST(invalid_utf8_and_nul_are_replaced)
{
	output("a\xff\xc3(\0b\n", 7);
	expect_stdout(
		"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd"
		"b");
}

TEST(a_long_line_is_cut_between_characters)
{
	static const char euro[3] = {(char)0xe2, (char)0x82, (char)0xac};
	char *text = xmalloc(60000);
	for (size_t i = 0; i < 60000; i += 3)
		memcpy(text + i, euro, sizeof(euro));
	output(text, 60000);
	attempt_log_end(&the_log, STREAM_STDOUT);
	attempt_log_flush(&the_log);
	receive();
	int64_t count = 0;
	CLEANUP(free_p) char *texts = lines_of("stdout", NULL, &count);
	assert_int_equal(count, 4);
	assert_null(strstr(texts, "\xef\xbf\xbd"));
	assert_int_equal(strlen(texts), 60000 + 3);
	free(text);
}

TEST(records_stay_below_64_kib_whatever_the_escapes)
{
	char *text = xmalloc(200000);
	memset(text, 1, 200000);
	for (size_t at = 0; at < 200000; at += 4000)
		output(text + at, 4000);
	attempt_log_end(&the_log, STREAM_STDOUT);
	attempt_log_flush(&the_log);
	receive();
	size_t longest = 0;
	CLEANUP(free_p) char *texts = lines_of("stdout", &longest, NULL);
	assert_true(longest <= 65536);
	assert_true(strlen(texts) > 200000);
	free(text);
}

TEST(kilns_own_lines_have_their_stream_and_no_line_breaks)
{
	attempt_log_kiln(&the_log, "one\ntwo %d", 3);
	attempt_log_flush(&the_log);
	receive();
	CLEANUP(free_p) char *texts = lines_of("kiln", NULL, NULL);
	assert_string_equal(texts, "one two 3");
}

TEST(a_line_for_what_was_left_out_says_how_much_it_was)
{
	attempt_log_left_out(&the_log, 1000, 7, "some of it is not here");
	attempt_log_flush(&the_log);
	receive();
	static const char wanted[] = "\"text\":\"some of it is not here\",\"truncated\":{\"bytes\":1000,\"lines\":7}}";
	assert_non_null(memmem(received.data, received.len, wanted, sizeof(wanted) - 1));
}

TEST(kilns_own_lines_show_no_secret)
{
	secrets_add(&the_log.secrets, "token-of-kiln");
	attempt_log_kiln(&the_log, "denied: token-of-kiln");
	attempt_log_flush(&the_log);
	receive();
	CLEANUP(free_p) char *texts = lines_of("kiln", NULL, NULL);
	assert_string_equal(texts, "denied: [masked]");
}

TEST(a_batch_is_due_50_ms_after_its_first_line)
{
	assert_true(the_log.due_ms == INT64_MAX);
	int64_t before_ms = clock_boot_ms();
	output("x\n", 2);
	assert_in_range(the_log.due_ms, before_ms + 50, clock_boot_ms() + 50);
	attempt_log_tick(&the_log, the_log.due_ms - 1);
	receive();
	assert_int_equal(received.len, 0);
	attempt_log_tick(&the_log, the_log.due_ms);
	receive();
	assert_true(received.len > 0);
	assert_true(the_log.due_ms == INT64_MAX);
}

TEST(too_much_that_is_not_acknowledged_blocks)
{
	char *text = xmalloc(16001);
	memset(text, 'x', 16000);
	text[16000] = '\n';
	assert_false(attempt_log_blocked(&the_log));
	for (int i = 0; i < 40; i++) {
		attempt_log_output(&the_log, STREAM_STDOUT, text, 16001);
		receive();
		if (attempt_log_blocked(&the_log))
			break;
	}
	assert_true(attempt_log_blocked(&the_log));
	while (log_link.unacked_len > 0) {
		acknowledge(log_link.unacked[0].id);
		(void)daemon_link_receive(&log_link);
	}
	assert_false(attempt_log_blocked(&the_log));
	free(text);
}

TEST(what_has_no_room_waits_ten_minutes_and_not_once_for_each_record)
{
	unanswered = true;
	for (int i = 0; i < 100; i++) {
		attempt_log_output(&the_log, STREAM_STDOUT, "x\n", 2);
		attempt_log_flush(&the_log);
	}
	assert_in_range(ahead_ms, 540000, 600000); /* from the moment of the wait on, which is a moment later */
	for (size_t at = 0; at < log_link.unacked_len; at++)
		acknowledge(log_link.unacked[at].id);
	uint64_t last_id = log_link.last_id;
	attempt_log_output(&the_log, STREAM_STDOUT, "y\n", 2);
	attempt_log_flush(&the_log);
	assert_int_equal(log_link.last_id, last_id + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_come_out_whole_however_they_came_in, begin, end),
		cmocka_unit_test_setup_teardown(invalid_utf8_and_nul_are_replaced, begin, end),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_between_characters, begin, end),
		cmocka_unit_test_setup_teardown(records_stay_below_64_kib_whatever_the_escapes, begin, end),
		cmocka_unit_test_setup_teardown(kilns_own_lines_have_their_stream_and_no_line_breaks, begin, end),
		cmocka_unit_test_setup_teardown(a_line_for_what_was_left_out_says_how_much_it_was, begin, end),
		cmocka_unit_test_setup_teardown(kilns_own_lines_show_no_secret, begin, end),
		cmocka_unit_test_setup_teardown(a_batch_is_due_50_ms_after_its_first_line, begin, end),
		cmocka_unit_test_setup_teardown(too_much_that_is_not_acknowledged_blocks, begin, end),
		cmocka_unit_test_setup_teardown(what_has_no_room_waits_ten_minutes_and_not_once_for_each_record, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
