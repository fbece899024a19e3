#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/secrets.h"

#define TOKEN "s3cret/+token\"1"

static struct secrets secrets;

static int end(void **state UNUSED)
{
	secrets_release(&secrets);
	return 0;
}

/* As a whole, and as a stream that is cut into pieces of every length. */
static void masked_is(const char *text, size_t len, const char *wanted)
{
	CLEANUP(free_p) char *whole = xmemdup(text, len);
	size_t whole_len = secrets_mask(&secrets, whole, len);
	assert_int_equal(whole_len, strlen(wanted));
	assert_memory_equal(whole, wanted, whole_len);
	for (size_t piece = 1; piece <= len + 1; piece++) {
		struct secrets_stream stream = {.waiting = NULL};
		struct buffer out;
		buffer_init(&out, 2 * len + SECRETS_WAITING_BYTES);
		for (size_t at = 0; at < len; at += piece)
			secrets_stream_add(&stream, &secrets, text + at, len - at < piece ? len - at : piece, false, &out);
		secrets_stream_add(&stream, &secrets, NULL, 0, true, &out);
		assert_int_equal(out.len, strlen(wanted));
		assert_memory_equal(out.data, wanted, out.len);
		buffer_release(&out);
		secrets_stream_release(&stream);
	}
}

static void text_masked_is(const char *text, const char *wanted)
{
	masked_is(text, strlen(text), wanted);
}

TEST(without_secrets_nothing_is_masked)
{
	text_masked_is("plain " TOKEN "\n", "plain " TOKEN "\n");
}

TEST(a_secret_is_masked_wherever_and_however_often_it_stands)
{
	secrets_add(&secrets, TOKEN);
	text_masked_is("no token here\n", "no token here\n");
	text_masked_is(TOKEN, "[masked]");
	text_masked_is("a " TOKEN " b" TOKEN TOKEN "c\n", "a [masked] b[masked][masked]c\n");
	text_masked_is("s3cret/+s3cret/+token\"1\n", "s3cret/+[masked]\n");
	text_masked_is("\x01" TOKEN "\xff", "\x01[masked]\xff");
}

TEST(nothing_waits_behind_a_line_break)
{
	struct secrets_stream stream = {.waiting = NULL};
	struct buffer out;
	secrets_add(&secrets, TOKEN);
	buffer_init(&out, 100 + SECRETS_WAITING_BYTES);
	secrets_stream_add(&stream, &secrets, "x\ny s3cret/", 11, false, &out);
	assert_string_equal(out.data, "x\ny ");
	secrets_stream_add(&stream, &secrets, "\n", 1, false, &out);
	assert_string_equal(out.data, "x\ny s3cret/\n");
	buffer_release(&out);
	secrets_stream_release(&stream);
}

TEST(other_spellings_of_a_secret_are_masked)
{
	secrets_add(&secrets, TOKEN);
	text_masked_is("{\"k\":\"s3cret/+token\\\"1\"}\n", "{\"k\":\"[masked]\"}\n");
	text_masked_is("https://u:s3cret%2F%2Btoken%221@host/\n", "https://u:[masked]@host/\n");
}

/* Behind 0 to 5 bytes and before 0 to 2: only the characters stay that have bits of what stands around. */
static void base64_shows_nothing(int (*append)(struct buffer *, const void *, size_t))
{
	for (size_t before = 0; before < 6; before++) {
		for (size_t after = 0; after < 3; after++) {
			struct buffer plain, text;
			buffer_init(&plain, 100);
			buffer_init(&text, 200);
			(void)buffer_append(&plain, "user: ", before);
			(void)buffer_append_str(&plain, TOKEN);
			size_t to = 8 * plain.len / 6, from = (8 * before + 5) / 6;
			(void)buffer_append(&plain, "??", after);
			assert_int_equal(append(&text, plain.data, plain.len), 0);
			size_t rest = text.len - to, len = secrets_mask(&secrets, text.data, text.len);
			assert_int_equal(len, from + strlen("[masked]") + rest);
			assert_memory_equal(text.data + from, "[masked]", strlen("[masked]"));
			buffer_release(&plain);
			buffer_release(&text);
		}
	}
}

TEST(base64_of_a_secret_among_other_bytes_is_masked)
{
	secrets_add(&secrets, TOKEN);
	base64_shows_nothing(base64_append);
	base64_shows_nothing(base64url_append);
}

TEST(a_secret_that_is_the_beginning_of_another_does_not_show_the_rest)
{
	secrets_add(&secrets, "token-of-kiln");
	secrets_add(&secrets, "token-of-kiln-and-more");
	text_masked_is("token-of-kiln, token-of-kiln-and-more, token-of-kiln-and-\n",
				   "[masked], [masked], [masked]-and-\n");
}

TEST(secrets_that_overlap_are_masked_together)
{
	secrets_add(&secrets, "abcdefgh12");
	secrets_add(&secrets, "gh12345678");
	text_masked_is("<abcdefgh12345678>\n", "<[masked]>\n");
	text_masked_is("<abcdefgh123456>\n", "<[masked]3456>\n");
}

TEST(a_secret_that_repeats_itself_without_end_does_not_wait_without_end)
{
	struct secrets_stream stream = {.waiting = NULL};
	struct buffer out;
	char *text = xmalloc(100000);
	memset(text, 'a', 100000);
	secrets_add(&secrets, "aaaaaaaaaaaa");
	buffer_init(&out, 200000);
	for (size_t at = 0; at < 100000; at += 1000)
		secrets_stream_add(&stream, &secrets, text + at, 1000, false, &out);
	assert_true(stream.len <= SECRETS_WAITING_BYTES);
	secrets_stream_add(&stream, &secrets, NULL, 0, true, &out);
	assert_true(out.len > 0);
	assert_null(memmem(out.data, out.len, "aaaaaaaaaaaa", 12));
	buffer_release(&out);
	secrets_stream_release(&stream);
	free(text);
}

TEST(a_secret_that_was_cut_at_the_end_of_a_text_is_masked)
{
	secrets_add(&secrets, TOKEN);
	text_masked_is("denied for s3cret/+tok", "denied for [masked]");
	text_masked_is("denied for s3cret/+", "denied for [masked]");
	text_masked_is("denied for s3cret/", "denied for s3cret/"); /* as short as what is no secret */
	text_masked_is("denied for s3cret/+tok\n", "denied for s3cret/+tok\n");
}

TEST(a_key_of_many_lines_is_masked_line_by_line)
{
	secrets_add(&secrets, "-----BEGIN KEY-----\nb3BlbnNzaC1r\r\nZXktdjEAAAAA\nshort\n-----END KEY-----\n");
	text_masked_is("-----BEGIN KEY-----\nb3BlbnNzaC1r\nZXktdjEAAAAA\nshort\n",
				   "-----BEGIN KEY-----\n[masked]\n[masked]\nshort\n");
}

TEST(what_is_short_is_no_secret)
{
	secrets_add(&secrets, "1234567");
	secrets_add(&secrets, NULL);
	secrets_add(&secrets, "");
	text_masked_is("1234567\n", "1234567\n");
}

TEST(a_very_long_secret_is_masked_in_pieces)
{
	char *text = xmalloc(10001);
	for (size_t i = 0; i < 10000; i++)
		text[i] = (char)('A' + (char)(i * 7 % 26 + i % 5));
	text[10000] = '\0';
	secrets_add(&secrets, text);
	size_t len = secrets_mask(&secrets, text, 10000);
	assert_true(len < 100);
	free(text);
}

TEST(of_too_many_secrets_the_newest_are_known)
{
	char text[64];
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(text, sizeof(text), "secret-number-%d-of-many", i);
		secrets_add(&secrets, text);
	}
	assert_true(secrets.len <= SECRETS_MAX_SPELLINGS);
	text_masked_is("secret-number-4999-of-many\n", "[masked]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(without_secrets_nothing_is_masked, end),
		cmocka_unit_test_teardown(a_secret_is_masked_wherever_and_however_often_it_stands, end),
		cmocka_unit_test_teardown(nothing_waits_behind_a_line_break, end),
		cmocka_unit_test_teardown(other_spellings_of_a_secret_are_masked, end),
		cmocka_unit_test_teardown(base64_of_a_secret_among_other_bytes_is_masked, end),
		cmocka_unit_test_teardown(a_secret_that_is_the_beginning_of_another_does_not_show_the_rest, end),
		cmocka_unit_test_teardown(secrets_that_overlap_are_masked_together, end),
		cmocka_unit_test_teardown(a_secret_that_repeats_itself_without_end_does_not_wait_without_end, end),
		cmocka_unit_test_teardown(a_secret_that_was_cut_at_the_end_of_a_text_is_masked, end),
		cmocka_unit_test_teardown(a_key_of_many_lines_is_masked_line_by_line, end),
		cmocka_unit_test_teardown(what_is_short_is_no_secret, end),
		cmocka_unit_test_teardown(a_very_long_secret_is_masked_in_pieces, end),
		cmocka_unit_test_teardown(of_too_many_secrets_the_newest_are_known, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
