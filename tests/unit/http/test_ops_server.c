#include "common/http/ops_server.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/signals.h"

static bool database_there;

static bool check_database(void *ctx, struct buffer *why)
{
	(void)ctx;
	if (!database_there)
		(void)buffer_append_str(why, "no \"connection\" yet"); /* fits */
	return database_there;
}

static int connect_to_ops(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)ops_server_port()), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The whole answer, as text. */
static void get(const char *method, const char *path, char *ret, size_t size)
{
	int fd = connect_to_ops();
	size_t len = 0;
	ssize_t got;

	dprintf(fd, "%s %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", method, path);
	while ((got = read(fd, ret + len, size - 1 - len)) > 0)
		len += (size_t)got;
	ret[len] = '\0';
	close(fd);
}

TEST(livez_says_ok)
{
	char text[4096];

	get("GET", "/livez", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	assert_non_null(strstr(text, "\r\n\r\nok\n"));
	get("HEAD", "/livez", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	assert_null(strstr(text, "ok\n"));
}

TEST(readyz_names_what_is_missing)
{
	char text[4096];

	database_there = false;
	get("GET", "/readyz?x=y", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 503 ", 13), 0);
	assert_non_null(strstr(text,
						   "{\"status\":\"fail\",\"checks\":[{\"name\":\"postgres\",\"status\":\"fail\",\"detail\":"
						   "\"no \\\"connection\\\" yet\"}]}"));
	database_there = true;
	get("GET", "/readyz", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	assert_non_null(strstr(text, "{\"status\":\"pass\",\"checks\":[{\"name\":\"postgres\",\"status\":\"pass\"}]}"));
}

TEST(metrics_are_in_prometheus_text)
{
	static struct metric metric = {.kind = METRIC_COUNTER, .name = "kiln_test_total", .help = "A test."};
	char text[65536];

	metric_register(&metric);
	metric_add(&metric, 3);
	get("GET", "/metrics", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	assert_non_null(strstr(text, "text/plain; version=0.0.4"));
	assert_non_null(strstr(text, "\nkiln_test_total 3\n"));
}

TEST(anything_else_is_refused)
{
	char text[4096];

	get("GET", "/", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 404 ", 13), 0);
	get("GET", "/livez/x", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 404 ", 13), 0);
	get("POST", "/livez", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 405 ", 13), 0);
	assert_non_null(strcasestr(text, "\r\nallow: GET, HEAD\r\n"));
}

/* 32 idle connections fill the house; when one goes, the next is served. */
TEST(a_full_house_recovers)
{
	int fds[32];
	char text[4096];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to_ops();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	get("GET", "/livez", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
}

/* Last: the drain cannot be taken back. */
TEST(a_draining_service_is_not_ready)
{
	char text[4096];

	database_there = true;
	signals_begin_drain("test");
	get("GET", "/readyz", text, sizeof(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 503 ", 13), 0);
	assert_non_null(strstr(text, "\"name\":\"draining\""));
}

static int set_up(void **state)
{
	const struct ops_check checks[] = {{"postgres", check_database, NULL}};
	struct error err = ERROR_INIT;

	(void)state;
	signals_init();
	log_init("test", LOG_ERROR, LOG_TEXT);
	return ops_server_start("127.0.0.1", 0, checks, ARRAY_LEN(checks), &err);
}

static int tear_down(void **state)
{
	(void)state;
	ops_server_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(livez_says_ok),
		cmocka_unit_test(readyz_names_what_is_missing),
		cmocka_unit_test(metrics_are_in_prometheus_text),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(a_full_house_recovers),
		cmocka_unit_test(a_draining_service_is_not_ready),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
