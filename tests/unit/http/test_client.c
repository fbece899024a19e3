#include "common/http/client.h"
#include "tests/unit/unit.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/http/exchange.h"
#include "tests/unit/http/tiny_server.h"

#define PATIENT_MS 60000 /* where an answer comes */
#define ANSWER(text) (text), sizeof(text) - 1

struct outcome {
	sem_t done;
	struct error error;
	int status;
	char body[256];
	size_t body_len;
	int64_t retry_after_s;
	bool reached_network;
};

static void on_done(void *ctx, const struct http_response *response)
{
	struct outcome *outcome = ctx;

	outcome->error = response->error;
	outcome->status = response->status;
	outcome->body_len = response->body_len;
	(void)snprintf(outcome->body, sizeof(outcome->body), "%s", response->body); /* cut is fine */
	outcome->retry_after_s = response->retry_after_s;
	outcome->reached_network = response->reached_network;
	sem_post(&outcome->done);
}

struct fixture {
	struct address_guard *guard;
	struct http_client *client;
};

static void open_client(struct fixture *fixture, const char *allow)
{
	struct error err = ERROR_INIT;

	assert_int_equal(address_guard_new(allow, &fixture->guard, &err), 0);
	assert_int_equal(http_client_new(fixture->guard, 4, 4, &fixture->client, &err), 0);
}

static void close_client(struct fixture *fixture)
{
	http_client_free(fixture->client);
	address_guard_free(fixture->guard);
}

static void exchange(struct fixture *fixture, const char *url, int timeout_ms, struct outcome *outcome)
{
	struct error err = ERROR_INIT;
	const char *const headers[] = {"x-one: 1", NULL};
	struct http_request request = {.method = "POST",
								   .url = url,
								   .headers = headers,
								   .body = "hello",
								   .body_len = 5,
								   .timeout_ms = timeout_ms,
								   .connect_timeout_ms = timeout_ms,
								   .max_response_bytes = 16};

	memset(outcome, 0, sizeof(*outcome));
	sem_init(&outcome->done, 0, 0);
	assert_int_equal(http_client_send(fixture->client, &request, on_done, outcome, &err), 0);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2 * PATIENT_MS / 1000;
	assert_int_equal(sem_timedwait(&outcome->done, &until), 0);
}

/* Sends one request to a server that answers so; `request_seen` (may be NULL) gets what it saw. */
static void post_to(const char *answer, size_t answer_len, int timeout_ms, struct outcome *outcome, char *request_seen)
{
	struct fixture fixture;
	struct tiny_server server;
	char url[64];

	tiny_server_start(&server, answer, answer_len);
	open_client(&fixture, "127.0.0.1");
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/hook?a=b", server.port); /* fits */
	exchange(&fixture, url, timeout_ms, outcome);
	close_client(&fixture);
	tiny_server_stop(&server);
	if (request_seen != NULL)
		memcpy(request_seen, server.last, sizeof(server.last));
}

TEST(a_request_arrives_as_it_was_given)
{
	struct outcome outcome;
	char seen[16384];

	post_to(ANSWER("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), PATIENT_MS, &outcome, seen);
	assert_int_equal(outcome.error.kind, ERR_NONE);
	assert_int_equal(outcome.status, 200);
	assert_string_equal(outcome.body, "ok");
	assert_int_equal(outcome.retry_after_s, -1);
	assert_true(outcome.reached_network);
	assert_int_equal(strncmp(seen, "POST /hook?a=b HTTP/1.1\r\n", 25), 0);
	assert_non_null(strstr(seen, "\r\nx-one: 1\r\n"));
	assert_non_null(strstr(seen, "\r\n\r\nhello"));
	assert_null(strcasestr(seen, "expect"));
}

TEST(redirects_are_not_followed)
{
	struct outcome outcome;

	post_to(ANSWER("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), PATIENT_MS,
			&outcome, NULL);
	assert_int_equal(outcome.error.kind, ERR_NONE);
	assert_int_equal(outcome.status, 302);
}

TEST(a_long_body_is_cut)
{
	struct outcome outcome;

	post_to(ANSWER("HTTP/1.1 200 OK\r\ncontent-length: 36\r\n\r\n0123456789abcdefghijklmnopqrstuvwxyz"), PATIENT_MS,
			&outcome, NULL);
	assert_int_equal(outcome.error.kind, ERR_NONE);
	assert_int_equal(outcome.status, 200);
	assert_string_equal(outcome.body, "0123456789abcdef");
}

TEST(retry_after_is_read_in_both_forms)
{
	struct outcome outcome;
	char answer[256], date[64];
	time_t soon = time(NULL) + 10000;
	struct tm tm;

	post_to(ANSWER("HTTP/1.1 503 Busy\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n"), PATIENT_MS, &outcome, NULL);
	assert_int_equal(outcome.status, 503);
	assert_int_equal(outcome.retry_after_s, 17);
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm));
	int len =
		snprintf(answer, sizeof(answer), "HTTP/1.1 429 Slow\r\nRetry-After: %s\r\ncontent-length: 0\r\n\r\n", date);
	post_to(answer, (size_t)len, PATIENT_MS, &outcome, NULL);
	assert_in_range(outcome.retry_after_s, 9000, 10000);
	post_to(ANSWER("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"), PATIENT_MS, &outcome, NULL);
	assert_int_equal(outcome.retry_after_s, 0);
}

TEST(a_silent_server_is_a_timeout)
{
	struct outcome outcome;

	memset(&outcome, 0, sizeof(outcome));
	/* The first time-out within which it gets to send anything. */
	for (int timeout_ms = 100; !outcome.reached_network && timeout_ms < PATIENT_MS; timeout_ms *= 4) {
		post_to(NULL, 0, timeout_ms, &outcome, NULL);
		assert_int_equal(outcome.error.kind, ERR_TIMEOUT);
	}
	assert_true(outcome.reached_network);
}

TEST(a_status_is_told_although_its_body_does_not_end)
{
	struct outcome outcome;

	memset(&outcome, 0, sizeof(outcome));
	/* The first time-out within which the head gets here. */
	for (int timeout_ms = 100; outcome.status == 0 && timeout_ms < PATIENT_MS; timeout_ms *= 4) {
		post_to(ANSWER("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"), timeout_ms, &outcome, NULL);
		assert_int_equal(outcome.error.kind, ERR_TIMEOUT);
	}
	assert_int_equal(outcome.status, 200);
}

TEST(endless_headers_are_refused)
{
	static char answer[200000];
	struct outcome outcome;
	size_t len = (size_t)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n");

	while (len < sizeof(answer) - 200)
		len += (size_t)snprintf(answer + len, sizeof(answer) - len, "x-%zu: %0100d\r\n", len, 0);
	post_to(answer, len, PATIENT_MS, &outcome, NULL);
	assert_int_equal(outcome.error.kind, ERR_UNAVAILABLE);
}

/* ERR_INVALID says that no later attempt can go better. */
TEST(an_answer_that_is_no_http_is_no_fault_of_the_request)
{
	static const char *const answers[] = {"garbage\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/3.0 503 x\r\n\r\n",
										  "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 0\r\n\r\n"};
	struct outcome outcome;

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		post_to(answers[i], strlen(answers[i]), PATIENT_MS, &outcome, NULL);
		if (outcome.error.kind != ERR_UNAVAILABLE)
			fail_msg("%s: %d, status %d, %s", answers[i], outcome.error.kind, outcome.status, outcome.error.message);
	}
}

TEST(private_addresses_are_denied_and_nothing_is_sent)
{
	struct fixture fixture;
	struct tiny_server server;
	struct outcome outcome;
	char url[64];

	tiny_server_start(&server, ANSWER("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
	open_client(&fixture, NULL);
	const char *const hosts[] = {"127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		(void)snprintf(url, sizeof(url), "http://%s:%d/", hosts[i], server.port); /* fits */
		exchange(&fixture, url, PATIENT_MS, &outcome);
		assert_int_equal(outcome.error.kind, ERR_DENIED);
		assert_false(outcome.reached_network);
	}
	close_client(&fixture);
	tiny_server_stop(&server);
	assert_int_equal(server.requests, 0);
}

/* A connection that the allow-list opened for one host name is not free for another name of the same address. */
TEST(a_reused_connection_is_checked_again)
{
	struct fixture fixture;
	struct tiny_server server;
	struct outcome outcome;
	char url[64];

	tiny_server_start(&server, ANSWER("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
	open_client(&fixture, "localhost");
	(void)snprintf(url, sizeof(url), "http://localhost:%d/", server.port); /* fits */
	exchange(&fixture, url, PATIENT_MS, &outcome);
	assert_int_equal(outcome.status, 200);
	exchange(&fixture, url, PATIENT_MS, &outcome);
	assert_int_equal(outcome.status, 200);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port); /* fits */
	exchange(&fixture, url, PATIENT_MS, &outcome);
	assert_int_equal(outcome.error.kind, ERR_DENIED);
	close_client(&fixture);
	tiny_server_stop(&server);
	assert_int_equal(server.requests, 2);
}

TEST(other_schemes_are_refused)
{
	struct fixture fixture;
	struct outcome outcome;

	open_client(&fixture, "0.0.0.0/0");
	exchange(&fixture, "file:///etc/passwd", PATIENT_MS, &outcome);
	assert_int_equal(outcome.error.kind, ERR_INVALID);
	close_client(&fixture);
}

TEST(a_full_queue_refuses_and_the_end_cancels)
{
	struct fixture fixture;
	struct tiny_server server;
	struct outcome outcomes[16];
	struct error err = ERROR_INIT;
	size_t taken = 0;
	char url[64];

	tiny_server_start(&server, NULL, 0);
	open_client(&fixture, "127.0.0.1");
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port); /* fits */
	struct http_request request = {
		.method = "GET", .url = url, .timeout_ms = 60000, .connect_timeout_ms = 60000, .max_response_bytes = 16};
	memset(outcomes, 0, sizeof(outcomes));
	for (; taken < ARRAY_LEN(outcomes); taken++) {
		sem_init(&outcomes[taken].done, 0, 0);
		if (http_client_send(fixture.client, &request, on_done, &outcomes[taken], &err) < 0)
			break;
	}
	assert_in_range(taken, 4, 8);
	assert_int_equal(err.kind, ERR_LIMIT);
	close_client(&fixture);
	for (size_t i = 0; i < taken; i++) {
		assert_int_equal(sem_trywait(&outcomes[i].done), 0);
		assert_int_equal(outcomes[i].error.kind, ERR_CANCELLED);
	}
	tiny_server_stop(&server);
}

/* A name may have an address that is refused and others that were being tried, or would have been. */
TEST(the_end_cancels_also_what_had_an_address_denied)
{
	const struct http_request request = {
		.method = "GET", .url = "http://localhost/", .timeout_ms = PATIENT_MS, .connect_timeout_ms = PATIENT_MS};

	for (int tried = 0; tried <= 1; tried++) {
		struct outcome outcome = {.status = 0};
		sem_init(&outcome.done, 0, 0);
		struct exchange *exchange = exchange_new(&request, on_done, &outcome);
		exchange->denied = true;
		exchange->tried = tried == 1;
		exchange_cancel(exchange);
		assert_int_equal(sem_trywait(&outcome.done), 0);
		assert_int_equal(outcome.error.kind, ERR_CANCELLED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_arrives_as_it_was_given),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(a_long_body_is_cut),
		cmocka_unit_test(retry_after_is_read_in_both_forms),
		cmocka_unit_test(a_silent_server_is_a_timeout),
		cmocka_unit_test(a_status_is_told_although_its_body_does_not_end),
		cmocka_unit_test(endless_headers_are_refused),
		cmocka_unit_test(an_answer_that_is_no_http_is_no_fault_of_the_request),
		cmocka_unit_test(private_addresses_are_denied_and_nothing_is_sent),
		cmocka_unit_test(a_reused_connection_is_checked_again),
		cmocka_unit_test(other_schemes_are_refused),
		cmocka_unit_test(a_full_queue_refuses_and_the_end_cancels),
		cmocka_unit_test(the_end_cancels_also_what_had_an_address_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
