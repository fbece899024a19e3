#include "tests/unit/unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/proxy/key.h"
#include "executor/proxy/proxy.h"
#include "tests/unit/executor/folder.h"
#include "tests/unit/http/tiny_server.h"

#define KEY "sk-real-key-0123456789"
#define PATIENCE_MS 30000

#define BODY "{\"model\":\"m\",\"max_tokens\":1}"
#define ANSWER_BODY "{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3}}"

/* A proxy between an agent, which the test is, and a model that always answers the same. */
struct scene {
	struct tiny_server model;
	struct model_prices *prices;
	struct model_proxy *proxy;
	char base_url[64], key_file[256], socket_path[512];
	bool server_tools;
};

/* With a model on this port. */
static void open_proxy(struct scene *scene, int port, struct model_limits limits, bool on_socket)
{
	struct error err = ERROR_INIT;
	(void)snprintf(scene->base_url, sizeof(scene->base_url), "http://127.0.0.1:%d", port);
	folder_write("key", KEY "\n");
	(void)snprintf(scene->key_file, sizeof(scene->key_file), "%s/key", folder);
	/* Longer than an address of a socket may be. */
	(void)snprintf(scene->socket_path, sizeof(scene->socket_path), "%s/%0130d", folder, 0);
	assert_true(mkdir(scene->socket_path, 0700) == 0 || errno == EEXIST);
	(void)snprintf(scene->socket_path, sizeof(scene->socket_path), "%s/%0130d/model.sock", folder, 0);
	assert_int_equal(model_prices_new("{\"m\":{\"input\":1,\"output\":1}}", &scene->prices, &err), 0);
	struct model_proxy_options options = {
		.api = {MODEL_ANTHROPIC, scene->base_url, "/v1", scene->key_file},
		.limits = limits,
		.prices = scene->prices,
		.socket_path = on_socket ? scene->socket_path : NULL,
		.idle_ms = PATIENCE_MS,
		.server_tools = scene->server_tools,
	};
	assert_int_equal(model_proxy_new(&options, &scene->proxy, &err), 0);
	assert_int_equal(model_proxy_start(scene->proxy, &err), 0);
}

static void begin(struct scene *scene, const char *answer, struct model_limits limits, bool on_socket)
{
	memset(scene, 0, sizeof(*scene));
	tiny_server_start(&scene->model, answer, strlen(answer));
	open_proxy(scene, scene->model.port, limits, on_socket);
}

/* Then the counts are final, and the model may be asked what it has seen. */
static void stop(struct scene *scene)
{
	model_proxy_stop(scene->proxy);
	tiny_server_stop(&scene->model);
}

static void end(struct scene *scene)
{
	model_proxy_free(scene->proxy);
	model_prices_free(scene->prices);
	(void)unlink(scene->socket_path);
}

static int connect_to(const struct scene *scene)
{
	struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	bool on_port = model_proxy_port(scene->proxy) != 0;
	int fd = socket(on_port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	port.sin_port = htons((uint16_t)model_proxy_port(scene->proxy));
	if (on_port) {
		assert_int_equal(connect(fd, (struct sockaddr *)&port, sizeof(port)), 0);
		return fd;
	}
	/* A name that is short enough, by a link. */
	(void)snprintf(path.sun_path, sizeof(path.sun_path), "%s/s", folder);
	(void)unlink(path.sun_path);
	assert_int_equal(symlink(scene->socket_path, path.sun_path), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&path, sizeof(path)), 0);
	return fd;
}

/* All that comes until the end; closes. */
static char *read_all(int fd)
{
	struct buffer answer;
	buffer_init(&answer, 1 << 20);
	ssize_t got;
	do {
		char *room = buffer_reserve(&answer, 4096);
		assert_non_null(room);
		got = recv(fd, room, 4096, 0);
		assert_true(got >= 0);
		buffer_commit(&answer, (size_t)got);
	} while (got > 0);
	(void)close(fd);
	return buffer_detach(&answer, NULL);
}

/* One request on a connection of its own; the whole answer. */
static char *ask(const struct scene *scene, const char *head, const char *token, const char *body)
{
	int fd = connect_to(scene);
	CLEANUP(free_p)
	char *request = xasprintf(
		"%s HTTP/1.1\r\nHost: h\r\nx-api-key: %s\r\nConnection: close\r\nContent-Length: "
		"%zu\r\n\r\n%s",
		head, token, strlen(body), body);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return read_all(fd);
}

/* A model that is the test itself: a listener. */
static int begin_as_model(struct scene *scene)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memset(scene, 0, sizeof(*scene));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	open_proxy(scene, ntohs(address.sin_port), (struct model_limits){.max_turns = 0}, false);
	return fd;
}

/* Until `wanted` has come. */
static void read_until(int fd, const char *wanted)
{
	struct buffer text;
	buffer_init(&text, 1 << 20);
	do {
		char *room = buffer_reserve(&text, 4096);
		assert_non_null(room);
		ssize_t got = recv(fd, room, 4096, 0);
		assert_true(got > 0);
		buffer_commit(&text, (size_t)got);
	} while (strstr(text.data, wanted) == NULL);
	buffer_release(&text);
}

/* The access lines, when there are some. */
static char *take_lines(struct scene *scene)
{
	struct buffer lines;
	struct pollfd told = {.fd = model_proxy_fd(scene->proxy), .events = POLLIN};
	buffer_init(&lines, 2 * MODEL_PROXY_LINES_BYTES);
	while (lines.len == 0) {
		char *key = NULL;
		assert_int_equal(poll(&told, 1, PATIENCE_MS), 1);
		model_proxy_take(scene->proxy, &lines, &key);
		model_key_free(key);
	}
	return buffer_detach(&lines, NULL);
}

static const char plain_answer[] =
	"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 58\r\n\r\n" ANSWER_BODY;
_Static_assert(sizeof(ANSWER_BODY) - 1 == 58, "its length is in the answer");

TEST(a_call_is_passed_on_with_the_key_and_counted)
{
	struct scene scene;
	begin(&scene, plain_answer, (struct model_limits){.max_turns = 0}, false);
	CLEANUP(free_p) char *answer = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY);
	assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
	assert_true(str_ends(answer, "\r\n\r\n" ANSWER_BODY));
	stop(&scene);
	assert_non_null(strstr(scene.model.last, "x-api-key: " KEY "\r\n"));
	assert_null(strstr(scene.model.last, model_proxy_token(scene.proxy)));
	assert_non_null(strstr(scene.model.last, BODY));
	struct model_meter meter = model_proxy_meter(scene.proxy);
	assert_int_equal(meter.turns, 1);
	assert_int_equal(meter.usage.input, 7);
	assert_int_equal(meter.usage.output, 3);
	end(&scene);
}

TEST(a_call_tells_when_it_went_on_last)
{
	struct scene scene;
	begin(&scene, plain_answer, (struct model_limits){.max_turns = 0}, false);
	CLEANUP(free_p) char *refused = ask(&scene, "POST /v1/messages", "not-the-token", BODY);
	assert_int_equal(strncmp(refused, "HTTP/1.1 401 ", 13), 0);
	assert_int_equal(model_proxy_active_ms(scene.proxy), 0);
	int64_t before_ms = clock_boot_ms();
	CLEANUP(free_p) char *answer = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY);
	assert_in_range(model_proxy_active_ms(scene.proxy), before_ms, clock_boot_ms());
	stop(&scene);
	end(&scene);
}

TEST(it_listens_on_a_socket_of_any_path_for_its_owner_only)
{
	struct scene scene;
	struct stat info;
	begin(&scene, plain_answer, (struct model_limits){.max_turns = 0}, true);
	assert_int_equal(model_proxy_port(scene.proxy), 0);
	assert_int_equal(stat(scene.socket_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	CLEANUP(free_p) char *answer = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY);
	assert_true(str_ends(answer, "\r\n\r\n" ANSWER_BODY));
	stop(&scene);
	end(&scene);
}

TEST(what_is_refused_does_not_reach_the_model)
{
	struct scene scene;
	begin(&scene, plain_answer, (struct model_limits){.budget_usd = 1}, false);
	const char *token = model_proxy_token(scene.proxy);
	CLEANUP(free_p) char *place = ask(&scene, "POST /v1/files", token, BODY);
	CLEANUP(free_p) char *stranger = ask(&scene, "POST /v1/messages", "kiln-of-somebody-else", BODY);
	CLEANUP(free_p) char *unpriced = ask(&scene, "POST /v1/messages", token, "{\"model\":\"dear\"}");
	assert_int_equal(strncmp(place, "HTTP/1.1 403 ", 13), 0);
	assert_int_equal(strncmp(stranger, "HTTP/1.1 401 ", 13), 0);
	assert_int_equal(strncmp(unpriced, "HTTP/1.1 400 ", 13), 0);
	stop(&scene);
	assert_null(strstr(scene.model.last, "}")); /* no body was whole */
	struct model_meter meter = model_proxy_meter(scene.proxy);
	assert_int_equal(meter.turns, 0);
	assert_int_equal(meter.verdict, MODEL_UNPRICED);
	end(&scene);
}

TEST(each_call_is_told_in_a_line_and_a_new_key_once)
{
	struct scene scene;
	struct buffer lines;
	char *first = NULL, *second = NULL;
	begin(&scene, plain_answer, (struct model_limits){.max_turns = 0}, false);
	buffer_init(&lines, 3 * MODEL_PROXY_LINES_BYTES);
	CLEANUP(free_p) char *one = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY);
	struct pollfd told = {.fd = model_proxy_fd(scene.proxy), .events = POLLIN};
	assert_int_equal(poll(&told, 1, PATIENCE_MS), 1);
	model_proxy_take(scene.proxy, &lines, &first);
	CLEANUP(free_p) char *two = ask(&scene, "GET /v1/models", model_proxy_token(scene.proxy), "");
	stop(&scene);
	model_proxy_take(scene.proxy, &lines, &second);
	assert_string_equal(first, KEY);
	assert_null(second);
	assert_non_null(strstr(lines.data, "[model API] POST /v1/messages: 200 in "));
	assert_non_null(strstr(lines.data, ": m, 7 in, 3 out, 0 cached, USD 0.000010\n"));
	assert_non_null(strstr(lines.data, "[model API] GET /v1/models: 200 in "));
	assert_null(strstr(lines.data, KEY));
	model_key_free(first);
	buffer_release(&lines);
	end(&scene);
}

TEST(its_end_cuts_what_is_under_way)
{
	struct scene scene;
	begin(&scene, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
		  (struct model_limits){.max_turns = 0}, false);
	int fd = connect_to(&scene);
	CLEANUP(free_p)
	char *request = xasprintf("POST /v1/messages HTTP/1.1\r\nx-api-key: %s\r\nContent-Length: 100000\r\n\r\n{",
							  model_proxy_token(scene.proxy));
	char bytes[64];
	ssize_t got;
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	model_proxy_stop(scene.proxy);
	do {
		got = recv(fd, bytes, sizeof(bytes), 0);
	} while (got > 0);
	assert_true(got == 0 || errno == ECONNRESET); /* closed, not only silent */
	tiny_server_stop(&scene.model);
	(void)close(fd);
	end(&scene);
}

TEST(an_agent_that_leaves_before_the_head_of_the_answer_has_used_the_model)
{
	struct scene scene;
	int listener = begin_as_model(&scene);
	int fd = connect_to(&scene);
	CLEANUP(free_p)
	char *request = xasprintf("POST /v1/messages HTTP/1.1\r\nx-api-key: %s\r\nContent-Length: %zu\r\n\r\n" BODY,
							  model_proxy_token(scene.proxy), strlen(BODY));
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	int model = accept(listener, NULL, NULL);
	assert_true(model >= 0);
	read_until(model, BODY); /* it has all of it, and is at work */
	(void)close(fd);
	CLEANUP(free_p) char *lines = take_lines(&scene);
	assert_non_null(strstr(lines, "[model API] POST /v1/messages: 0 in "));
	assert_non_null(strstr(lines, "(estimated); the agent has hung up\n"));
	struct model_meter meter = model_proxy_meter(scene.proxy);
	assert_int_equal(meter.turns, 1);
	assert_int_equal(meter.usage.input, (strlen(BODY) + 3) / 4);
	assert_true(meter.cost_usd > 0);
	(void)close(model);
	(void)close(listener);
	end(&scene);
}

TEST(an_answer_in_the_middle_of_a_long_request_reaches_the_agent_and_the_rest_does_not_jam)
{
	enum { PIECE = 1 << 16, PIECES = 128 };
	static const char early[] =
		"HTTP/1.1 413 Too much\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n\"no\"\n";
	static char piece[PIECE];
	struct scene scene;
	int listener = begin_as_model(&scene);
	int fd = connect_to(&scene);
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	CLEANUP(free_p)
	char *head =
		xasprintf("POST /v1/messages HTTP/1.1\r\nx-api-key: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
				  model_proxy_token(scene.proxy), PIECE * PIECES);
	memset(piece, ' ', sizeof(piece));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	assert_int_equal(send(fd, piece, PIECE, MSG_NOSIGNAL), PIECE);
	int model = accept(listener, NULL, NULL);
	assert_true(model >= 0);
	read_until(model, "\r\n\r\n");
	assert_int_equal(send(model, early, strlen(early), MSG_NOSIGNAL), strlen(early));
	/* The model reads no more: what comes now goes nowhere. */
	for (int i = 1; i < PIECES; i++) {
		size_t done = 0;
		while (done < PIECE) {
			ssize_t sent = send(fd, piece + done, PIECE - done, MSG_NOSIGNAL);
			assert_true(sent > 0);
			done += (size_t)sent;
		}
	}
	CLEANUP(free_p) char *answer = read_all(fd);
	assert_true(str_starts(answer, "HTTP/1.1 413 "));
	assert_true(str_ends(answer, "\r\n\r\n\"no\"\n"));
	(void)close(model);
	(void)close(listener);
	end(&scene);
}

static char *ask_first(const struct scene *scene, const char *token)
{
	int fd = connect_to(scene);
	CLEANUP(free_p)
	char *head =
		xasprintf("POST /v1/messages HTTP/1.1\r\nx-api-key: %s\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
				  token, strlen(BODY));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	return read_all(fd);
}

TEST(who_asks_before_it_sends_is_refused_at_once)
{
	struct scene scene;
	begin(&scene, plain_answer, (struct model_limits){.budget_usd = 0.000001}, false);
	CLEANUP(free_p) char *stranger = ask_first(&scene, "kiln-of-somebody-else");
	assert_true(str_starts(stranger, "HTTP/1.1 401 "));
	CLEANUP(free_p) char *last = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY);
	assert_true(str_starts(last, "HTTP/1.1 200 "));
	CLEANUP(free_p) char *spent = ask_first(&scene, model_proxy_token(scene.proxy));
	assert_true(str_starts(spent, "HTTP/1.1 400 "));
	assert_null(strstr(stranger, "100 Continue"));
	assert_null(strstr(spent, "100 Continue"));
	stop(&scene);
	assert_int_equal(scene.model.requests, 1);
	end(&scene);
}

#define SEARCH "{\"model\":\"m\",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}"
#define IMAGE                                                                                                          \
	"{\"model\":\"m\",\"messages\":[{\"content\":[{\"source\":{\"type\":\"url\",\"url\":\"https://x/?secret\"}}]}]}"

TEST(what_makes_the_vendor_reach_other_servers_is_refused)
{
	static const struct {
		const char *head, *body, *why;
	} calls[] = {
		{"POST /v1/messages", SEARCH, "web_search_20250305"},
		{"POST /v1/messages", IMAGE, "to be fetched from"},
		{"POST /v1/messages/count_tokens", IMAGE, "to be fetched from"},
		{"POST /v1/messages", "{\"model\":\"m\",\"mcp_servers\":[{}]}", "mcp_servers"},
	};
	struct scene scene;
	begin(&scene, plain_answer, (struct model_limits){.max_turns = 0}, false);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		CLEANUP(free_p) char *answer = ask(&scene, calls[i].head, model_proxy_token(scene.proxy), calls[i].body);
		assert_true(str_starts(answer, "HTTP/1.1 400 "));
		assert_non_null(strstr(answer, calls[i].why));
		assert_non_null(strstr(answer, "KILN_MODEL_SERVER_TOOLS"));
	}
	stop(&scene);
	assert_null(strstr(scene.model.last, "}")); /* no body was whole */
	assert_int_equal(model_proxy_meter(scene.proxy).turns, 0);
	end(&scene);
}

TEST(the_operator_may_let_the_vendor_reach_other_servers)
{
	struct scene scene;
	memset(&scene, 0, sizeof(scene));
	tiny_server_start(&scene.model, plain_answer, strlen(plain_answer));
	scene.server_tools = true;
	open_proxy(&scene, scene.model.port, (struct model_limits){.max_turns = 0}, false);
	CLEANUP(free_p) char *answer = ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), SEARCH);
	assert_true(str_starts(answer, "HTTP/1.1 200 "));
	stop(&scene);
	end(&scene);
}

TEST(nothing_of_a_call_makes_another_line_of_the_log_or_speaks_to_a_terminal)
{
	/* A model whose name has a line end, and a forged line behind it. */
	static const char name[] = "m\\n[model API] POST /v1/messages: 200 in 0.001 s: forged\\u001b[2J";
	CLEANUP(free_p)
	char *body = xasprintf("{\"model\":\"%s\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3}}", name);
	CLEANUP(free_p)
	char *answer = xasprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
							 strlen(body), body);
	static const char *const heads[] = {
		"GET /v1/models/a\xe2\x80\xa8[model",
		("GET /v1/\xc2\x9b"
		 "2J"),
		"GET /v1/\xc2\x85[model",
		"GET /v1/%0a[model%20API]%20POST%20/v1/x:",
		"PO\x7f /v1/messages\t",
		"GET http://a/\xff",
	};
	struct scene scene;
	struct buffer lines;
	char *key = NULL;
	begin(&scene, answer, (struct model_limits){.max_turns = 0}, false);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		free(ask(&scene, heads[i], model_proxy_token(scene.proxy), ""));
	free(ask(&scene, "POST /v1/messages", model_proxy_token(scene.proxy), BODY));
	stop(&scene);
	buffer_init(&lines, 2 * MODEL_PROXY_LINES_BYTES);
	model_proxy_take(scene.proxy, &lines, &key);
	model_key_free(key);
	size_t count = 0;
	for (const char *line = lines.data; *line != '\0'; line += strcspn(line, "\n") + 1) {
		assert_true(str_starts(line, "[model API] "));
		assert_true(strstr(line, ": 403 in ") != NULL || str_starts(line, "[model API] POST /v1/messages: 200 in "));
		for (const char *c = line; *c != '\n'; c++)
			assert_true(*c >= ' ' && *c <= '~');
		count++;
	}
	assert_true(count >= ARRAY_LEN(heads)); /* one is no request at all */
	assert_non_null(strstr(lines.data, "m?[model API]"));
	buffer_release(&lines);
	end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_passed_on_with_the_key_and_counted),
		cmocka_unit_test(a_call_tells_when_it_went_on_last),
		cmocka_unit_test(it_listens_on_a_socket_of_any_path_for_its_owner_only),
		cmocka_unit_test(what_is_refused_does_not_reach_the_model),
		cmocka_unit_test(each_call_is_told_in_a_line_and_a_new_key_once),
		cmocka_unit_test(its_end_cuts_what_is_under_way),
		cmocka_unit_test(an_agent_that_leaves_before_the_head_of_the_answer_has_used_the_model),
		cmocka_unit_test(an_answer_in_the_middle_of_a_long_request_reaches_the_agent_and_the_rest_does_not_jam),
		cmocka_unit_test(who_asks_before_it_sends_is_refused_at_once),
		cmocka_unit_test(what_makes_the_vendor_reach_other_servers_is_refused),
		cmocka_unit_test(the_operator_may_let_the_vendor_reach_other_servers),
		cmocka_unit_test(nothing_of_a_call_makes_another_line_of_the_log_or_speaks_to_a_terminal),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
