/* CONNECT, with a resolver that says what the test wants (getaddrinfo is wrapped by the linker). */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/proxy/key.h"
#include "executor/proxy/proxy.h"

#define PATIENCE_MS 60000

/* ---- the resolver */

static pthread_mutex_t slow_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t slow_cond = PTHREAD_COND_INITIALIZER;
static bool slow_may_go;
static atomic_int look_ups, slow_done;

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret);

/* near.test is 127.0.0.1; two.test is 127.0.0.2 and 127.0.0.1 at first, and 127.0.0.2 alone when it is asked again;
 * slow.test comes when it may; nowhere.test does not exist. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
	int before = atomic_fetch_add(&look_ups, 1);
	if (strcmp(host, "nowhere.test") == 0)
		return EAI_NONAME;
	if (strcmp(host, "slow.test") == 0) {
		pthread_mutex_lock(&slow_mutex);
		while (!slow_may_go)
			pthread_cond_wait(&slow_cond, &slow_mutex);
		pthread_mutex_unlock(&slow_mutex);
		atomic_fetch_add(&slow_done, 1);
		return EAI_NONAME;
	}
	if (strcmp(host, "two.test") != 0)
		return __real_getaddrinfo("127.0.0.1", port, hints, ret);
	int status = __real_getaddrinfo("127.0.0.2", port, hints, ret);
	if (status == 0 && before == 0)
		status = __real_getaddrinfo("127.0.0.1", port, hints, &(*ret)->ai_next);
	return status;
}

/* ---- a proxy, the agent, which the test is, and a server, which it is too */

struct scene {
	struct network_rules *rules;
	struct address_guard *guard;
	struct model_proxy *proxy;
	int listener, port;
};

static void set_patience(int fd)
{
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
}

static int listen_on(const char *address, int *port)
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
	socklen_t len = sizeof(place);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(inet_pton(AF_INET, address, &place.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&place, sizeof(place)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&place, &len), 0);
	*port = ntohs(place.sin_port);
	set_patience(fd);
	return fd;
}

/* `hosts`: of network.allow, on the server's port. */
static void begin(struct scene *scene, const char *const *hosts, const char *operator_allows, int64_t idle_ms)
{
	struct error err = ERROR_INIT;
	CLEANUP(cJSON_Delete_p) cJSON *allow = cJSON_CreateArray();
	memset(scene, 0, sizeof(*scene));
	atomic_store(&look_ups, 0);
	scene->listener = listen_on("127.0.0.1", &scene->port);
	for (; *hosts != NULL; hosts++) {
		CLEANUP(free_p) char *entry = xasprintf("%s:%d", *hosts, scene->port);
		cJSON_AddItemToArray(allow, cJSON_CreateString(entry));
	}
	assert_int_equal(network_rules_new(allow, &scene->rules, &err), 0);
	assert_int_equal(address_guard_new(operator_allows, &scene->guard, &err), 0);
	struct model_proxy_options options = {
		.idle_ms = PATIENCE_MS, .rules = scene->rules, .guard = scene->guard, .tunnel_idle_ms = idle_ms};
	assert_int_equal(model_proxy_new(&options, &scene->proxy, &err), 0);
	assert_int_equal(model_proxy_start(scene->proxy, &err), 0);
}

static const char *const near_only[] = {"near.test", NULL};
#define BEGIN_NEAR(scene) begin(scene, near_only, "127.0.0.1", PATIENCE_MS)

/* What the proxy has told, to be freed; after that it is at its end. */
static char *end(struct scene *scene)
{
	struct buffer lines;
	char *key = NULL;
	buffer_init(&lines, MODEL_PROXY_LINES_BYTES);
	model_proxy_stop(scene->proxy);
	model_proxy_take(scene->proxy, &lines, &key);
	assert_null(key);
	model_proxy_free(scene->proxy);
	network_rules_free(scene->rules);
	address_guard_free(scene->guard);
	(void)close(scene->listener);
	return buffer_detach(&lines, NULL);
}

static int dial(const struct scene *scene)
{
	struct sockaddr_in place = {.sin_family = AF_INET,
								.sin_port = htons((uint16_t)model_proxy_port(scene->proxy)),
								.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	set_patience(fd);
	assert_int_equal(connect(fd, (struct sockaddr *)&place, sizeof(place)), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static char *connect_head(const struct scene *scene, const char *host, const char *version, const char *more)
{
	return xasprintf("CONNECT %s:%d HTTP/%s\r\nProxy-Authorization: Basic %s\r\n%s\r\n", host, scene->port, version,
					 model_proxy_basic(scene->proxy), more);
}

static int ask_for(const struct scene *scene, const char *host)
{
	int fd = dial(scene);
	CLEANUP(free_p) char *head = connect_head(scene, host, "1.1", "");
	put(fd, head);
	return fd;
}

/* Up to the empty line. */
static void get_head(int fd, char *text, size_t size)
{
	size_t len = 0;
	do {
		assert_true(len + 1 < size);
		assert_int_equal(recv(fd, text + len, 1, 0), 1);
		text[++len] = '\0';
	} while (!str_ends(text, "\r\n\r\n"));
}

static void get(int fd, const char *wanted)
{
	char text[256];
	size_t len = strlen(wanted), done = 0;
	while (done < len) {
		ssize_t got = recv(fd, text + done, len - done, 0);
		assert_true(got > 0);
		done += (size_t)got;
	}
	assert_memory_equal(text, wanted, len);
}

static void is_at_end(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);
	assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
}

static int open_tunnel(const struct scene *scene, const char *host, int *ret_far)
{
	char head[256];
	int fd = ask_for(scene, host);
	get_head(fd, head, sizeof(head));
	assert_true(str_starts(head, "HTTP/1.1 200 "));
	*ret_far = accept(scene->listener, NULL, NULL);
	assert_true(*ret_far >= 0);
	set_patience(*ret_far);
	return fd;
}

/* The whole answer of a connection that ends. */
static char *get_all(int fd)
{
	struct buffer text;
	ssize_t got;
	buffer_init(&text, 1 << 20);
	do {
		char *room = buffer_reserve(&text, 4096);
		assert_non_null(room);
		got = recv(fd, room, 4096, 0);
		assert_true(got >= 0);
		buffer_commit(&text, (size_t)got);
	} while (got > 0);
	(void)close(fd);
	return buffer_detach(&text, NULL);
}

static bool is_called(const struct scene *scene)
{
	struct pollfd called = {.fd = scene->listener, .events = POLLIN};
	return poll(&called, 1, 0) > 0;
}

static void is_refused(const struct scene *scene, int fd, const char *status, const char *why)
{
	CLEANUP(free_p) char *answer = get_all(fd);
	CLEANUP(free_p) char *start = xasprintf("HTTP/1.1 %s ", status);
	if (!str_starts(answer, start) || strstr(strstr(answer, "\r\n\r\n"), why) == NULL)
		fail_msg("wanted %s, %s: %s", status, why, answer);
	assert_false(is_called(scene));
}

/* ---- the tests */

TEST(what_is_allowed_is_reached_and_the_line_counts_its_bytes)
{
	struct scene scene;
	int far;
	BEGIN_NEAR(&scene);
	int fd = open_tunnel(&scene, "near.test", &far);
	put(fd, "hello");
	get(far, "hello");
	put(far, "good day");
	get(fd, "good day");
	(void)close(far);
	is_at_end(fd);
	(void)close(fd);
	CLEANUP(free_p) char *lines = end(&scene);
	CLEANUP(free_p) char *wanted = xasprintf("[network] CONNECT near.test:%d: 200 in ", scene.port);
	assert_true(str_starts(lines, wanted));
	assert_non_null(strstr(lines, " s: 5 bytes up, 8 bytes down"));
}

TEST(what_is_not_allowed_is_neither_resolved_nor_reached)
{
	struct scene scene;
	BEGIN_NEAR(&scene);
	is_refused(&scene, ask_for(&scene, "evil.test"), "403", "is not in the project's network.allow");
	is_refused(&scene, ask_for(&scene, "a.near.test"), "403", "is not in the project's network.allow");
	is_refused(&scene, ask_for(&scene, "127.0.0.1"), "403", "is not in the project's network.allow");
	assert_int_equal(atomic_load(&look_ups), 0);
	CLEANUP(free_p) char *lines = end(&scene);
	CLEANUP(free_p) char *wanted = xasprintf("[network] CONNECT evil.test:%d: 403 in ", scene.port);
	assert_true(str_starts(lines, wanted));
}

TEST(a_project_that_allows_nothing_has_no_tunnels)
{
	struct scene scene;
	begin(&scene, (const char *const[]){NULL}, "127.0.0.1", PATIENCE_MS);
	is_refused(&scene, ask_for(&scene, "near.test"), "403", "names nothing");
	free(end(&scene));
}

TEST(who_does_not_know_the_token_gets_407_and_is_told_how)
{
	struct scene scene;
	BEGIN_NEAR(&scene);
	const char *const wrong[] = {"", "Proxy-Authorization: Basic a2lsbjpraWxu\r\n", "Proxy-Authorization: Basic\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int fd = dial(&scene);
		CLEANUP(free_p) char *head = xasprintf("CONNECT near.test:%d HTTP/1.1\r\n%s\r\n", scene.port, wrong[i]);
		put(fd, head);
		CLEANUP(free_p) char *answer = get_all(fd);
		assert_true(str_starts(answer, "HTTP/1.1 407 "));
		assert_non_null(strstr(answer, "\r\nProxy-Authenticate: Basic realm=\"kiln\"\r\n"));
	}
	assert_false(is_called(&scene));
	free(end(&scene));
}

TEST(a_private_address_needs_the_operators_word)
{
	struct scene scene;
	begin(&scene, near_only, NULL, PATIENCE_MS);
	is_refused(&scene, ask_for(&scene, "near.test"), "403", "KILN_NETWORK_ALLOW");
	assert_int_equal(atomic_load(&look_ups), 1);
	free(end(&scene));
}

TEST(of_several_addresses_only_a_permitted_one_is_connected_to_and_the_name_is_resolved_once)
{
	struct scene scene;
	int far;
	begin(&scene, (const char *const[]){"two.test", NULL}, "127.0.0.1", PATIENCE_MS);
	int other = listen_on("127.0.0.2", &scene.port); /* a server there would be called first */
	int fd = open_tunnel(&scene, "two.test", &far);
	put(fd, "hello");
	get(far, "hello");
	assert_int_equal(atomic_load(&look_ups), 1);
	struct pollfd called = {.fd = other, .events = POLLIN};
	assert_int_equal(poll(&called, 1, 0), 0);
	(void)close(fd);
	(void)close(far);
	/* Now it resolves to the other one alone. */
	is_refused(&scene, ask_for(&scene, "two.test"), "403", "KILN_NETWORK_ALLOW");
	assert_int_equal(poll(&called, 1, 0), 0);
	(void)close(other);
	free(end(&scene));
}

TEST(a_slow_resolver_holds_up_nobody_else_and_no_end)
{
	struct scene scene;
	int far;
	begin(&scene, (const char *const[]){"slow.test", "near.test", NULL}, "127.0.0.1", PATIENCE_MS);
	int slow = ask_for(&scene, "slow.test");
	int fd = open_tunnel(&scene, "near.test", &far);
	put(fd, "hello");
	get(far, "hello");
	CLEANUP(free_p) char *lines = end(&scene);
	is_at_end(slow);
	assert_non_null(strstr(lines, "slow.test"));
	(void)close(slow);
	(void)close(fd);
	(void)close(far);
	pthread_mutex_lock(&slow_mutex);
	slow_may_go = true;
	pthread_cond_broadcast(&slow_cond);
	pthread_mutex_unlock(&slow_mutex);
	int64_t deadline_ms = clock_boot_ms() + PATIENCE_MS;
	while (atomic_load(&slow_done) == 0) { /* its thread has nobody to tell */
		assert_true(clock_boot_ms() < deadline_ms);
		(void)poll(NULL, 0, 1);
	}
}

TEST(what_does_not_resolve_or_listen_is_502)
{
	struct scene scene;
	begin(&scene, (const char *const[]){"nowhere.test", "near.test", NULL}, "127.0.0.1", PATIENCE_MS);
	is_refused(&scene, ask_for(&scene, "nowhere.test"), "502", "does not resolve");
	(void)close(scene.listener);
	CLEANUP(free_p) char *answer = get_all(ask_for(&scene, "near.test"));
	assert_true(str_starts(answer, "HTTP/1.1 502 "));
	scene.listener = -1;
	free(end(&scene));
}

TEST(each_side_says_when_it_is_done_and_the_other_goes_on)
{
	struct scene scene;
	int far;
	BEGIN_NEAR(&scene);
	int fd = open_tunnel(&scene, "near.test", &far);
	put(fd, "question");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	get(far, "question");
	is_at_end(far);
	put(far, "answer");
	get(fd, "answer");
	(void)close(far);
	is_at_end(fd);
	(void)close(fd);
	fd = open_tunnel(&scene, "near.test", &far);
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	is_at_end(fd);
	put(fd, "still here");
	get(far, "still here");
	(void)close(fd);
	is_at_end(far);
	(void)close(far);
	CLEANUP(free_p) char *lines = end(&scene);
	assert_null(strstr(lines, "; ")); /* none was cut */
}

TEST(what_comes_right_behind_the_head_is_passed_on_also_from_old_clients)
{
	static const char *const versions[] = {"1.0", "1.1"};
	struct scene scene;
	BEGIN_NEAR(&scene);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		char text[256];
		int fd = dial(&scene);
		CLEANUP(free_p) char *head = connect_head(&scene, "near.test", versions[i], "");
		CLEANUP(free_p) char *both = xasprintf("%searly", head);
		put(fd, both);
		get_head(fd, text, sizeof(text));
		assert_true(str_starts(text, "HTTP/1.1 200 "));
		int far = accept(scene.listener, NULL, NULL);
		get(far, "early");
		(void)close(far);
		(void)close(fd);
	}
	free(end(&scene));
}

TEST(garbage_before_a_CONNECT_is_all_that_is_read)
{
	static const char *const garbage[] = {"\x16\x03\x01\r\n\r\n", "rubbish\r\n\r\n", "GET near.test\r\n\r\n",
										  "CONNECT\r\n\r\n", ": \r\n\r\n"};
	struct scene scene;
	BEGIN_NEAR(&scene);
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		int fd = dial(&scene);
		CLEANUP(free_p) char *head = connect_head(&scene, "near.test", "1.1", "");
		CLEANUP(free_p) char *both = xasprintf("%s%s", garbage[i], head);
		put(fd, both);
		is_refused(&scene, fd, "400", "");
	}
	assert_int_equal(atomic_load(&look_ups), 0);
	free(end(&scene));
}

TEST(a_CONNECT_that_could_be_read_in_two_ways_is_refused)
{
	struct scene scene;
	BEGIN_NEAR(&scene);
	static const char *const targets[] = {
		"/v1/messages",      "near.test",      "http://near.test:80/",      "near.test:80/",
		"user@near.test:80", "near.test:80?x", "near.test:80,evil.test:80", "*"};
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		int fd = dial(&scene);
		CLEANUP(free_p)
		char *head = xasprintf("CONNECT %s HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n", targets[i],
							   model_proxy_basic(scene.proxy));
		put(fd, head);
		is_refused(&scene, fd, "400", "HOST:PORT");
	}
	int fd = dial(&scene);
	CLEANUP(free_p) char *head = connect_head(&scene, "near.test", "1.1", "Content-Length: 5\r\n");
	put(fd, head);
	is_refused(&scene, fd, "400", "no body");
	assert_int_equal(atomic_load(&look_ups), 0);
	CLEANUP(free_p) char *lines = end(&scene);
	assert_null(strstr(lines, "evil")); /* what is no target is not repeated */
}

TEST(plain_http_is_not_passed_on)
{
	struct scene scene;
	BEGIN_NEAR(&scene);
	int fd = dial(&scene);
	CLEANUP(free_p)
	char *head =
		xasprintf("GET http://near.test:%d/ HTTP/1.1\r\nProxy-Authorization: Basic %s\r\nConnection: close\r\n\r\n",
				  scene.port, model_proxy_basic(scene.proxy));
	put(fd, head);
	is_refused(&scene, fd, "403", "CONNECT");
	free(end(&scene));
}

TEST(an_agent_without_a_model_is_told_so)
{
	struct scene scene;
	BEGIN_NEAR(&scene);
	int fd = dial(&scene);
	CLEANUP(free_p)
	char *head = xasprintf("GET /v1/models HTTP/1.1\r\nx-api-key: %s\r\nConnection: close\r\n\r\n",
						   model_proxy_token(scene.proxy));
	put(fd, head);
	is_refused(&scene, fd, "403", "no model");
	free(end(&scene));
}

TEST(more_than_the_buffers_hold_arrives_whole_when_nobody_reads_at_first)
{
	enum { TOTAL = 8 << 20 };
	struct scene scene;
	int far;
	BEGIN_NEAR(&scene);
	int fd = open_tunnel(&scene, "near.test", &far);
	char *piece = xmalloc(65536);
	size_t sent = 0, got = 0;
	while (got < TOTAL) {
		size_t len = TOTAL - sent < 65536 ? TOTAL - sent : 65536;
		for (size_t i = 0; i < len; i++)
			piece[i] = (char)((sent + i) % 251);
		ssize_t now = len > 0 ? send(far, piece, len, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
		if (now > 0) {
			sent += (size_t)now;
			continue;
		}
		/* As much as fits is under way: all of it is waiting for the agent. */
		ssize_t read = recv(fd, piece, 65536, 0);
		assert_true(read > 0);
		for (ssize_t i = 0; i < read; i++)
			assert_int_equal(piece[i], (char)((got + (size_t)i) % 251));
		got += (size_t)read;
	}
	free(piece);
	(void)close(far);
	is_at_end(fd);
	(void)close(fd);
	CLEANUP(free_p) char *lines = end(&scene);
	CLEANUP(free_p) char *wanted = xasprintf(" 0 bytes up, %d bytes down", TOTAL);
	assert_non_null(strstr(lines, wanted));
}

TEST(its_end_cuts_tunnels)
{
	struct scene scene;
	int far;
	BEGIN_NEAR(&scene);
	int fd = open_tunnel(&scene, "near.test", &far);
	put(fd, "hello");
	get(far, "hello");
	CLEANUP(free_p) char *lines = end(&scene);
	is_at_end(fd);
	is_at_end(far);
	assert_non_null(strstr(lines, "5 bytes up, 0 bytes down; the attempt has ended"));
	(void)close(fd);
	(void)close(far);
}

TEST(a_tunnel_without_a_byte_is_closed)
{
	struct scene scene;
	int far;
	begin(&scene, near_only, "127.0.0.1", 100);
	int fd = open_tunnel(&scene, "near.test", &far);
	is_at_end(fd);
	is_at_end(far);
	(void)close(fd);
	(void)close(far);
	CLEANUP(free_p) char *lines = end(&scene);
	assert_non_null(strstr(lines, "; nothing has gone through for too long"));
}

TEST(tunnels_have_a_limit_and_leave_room_for_the_model)
{
	enum { MOST = 64 };
	struct scene scene;
	int fds[MOST], fars[MOST];
	BEGIN_NEAR(&scene);
	for (int i = 0; i < MOST; i++)
		fds[i] = open_tunnel(&scene, "near.test", &fars[i]);
	is_refused(&scene, ask_for(&scene, "near.test"), "503", "as many tunnels");
	int fd = dial(&scene);
	put(fd, "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
	CLEANUP(free_p) char *answer = get_all(fd);
	assert_true(str_starts(answer, "HTTP/1.1 200 "));
	for (int i = 0; i < MOST; i++) {
		(void)close(fds[i]);
		is_at_end(fars[i]);
		(void)close(fars[i]);
	}
	/* Of their room another one has use; whether it is free already is the proxy's to say. */
	int64_t deadline_ms = clock_boot_ms() + PATIENCE_MS;
	char head[512];
	do {
		assert_true(clock_boot_ms() < deadline_ms);
		fd = ask_for(&scene, "near.test");
		get_head(fd, head, sizeof(head));
		(void)close(fd);
	} while (!str_starts(head, "HTTP/1.1 200 "));
	free(end(&scene));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_allowed_is_reached_and_the_line_counts_its_bytes),
		cmocka_unit_test(what_is_not_allowed_is_neither_resolved_nor_reached),
		cmocka_unit_test(a_project_that_allows_nothing_has_no_tunnels),
		cmocka_unit_test(who_does_not_know_the_token_gets_407_and_is_told_how),
		cmocka_unit_test(a_private_address_needs_the_operators_word),
		cmocka_unit_test(of_several_addresses_only_a_permitted_one_is_connected_to_and_the_name_is_resolved_once),
		cmocka_unit_test(a_slow_resolver_holds_up_nobody_else_and_no_end),
		cmocka_unit_test(what_does_not_resolve_or_listen_is_502),
		cmocka_unit_test(each_side_says_when_it_is_done_and_the_other_goes_on),
		cmocka_unit_test(what_comes_right_behind_the_head_is_passed_on_also_from_old_clients),
		cmocka_unit_test(garbage_before_a_CONNECT_is_all_that_is_read),
		cmocka_unit_test(a_CONNECT_that_could_be_read_in_two_ways_is_refused),
		cmocka_unit_test(plain_http_is_not_passed_on),
		cmocka_unit_test(an_agent_without_a_model_is_told_so),
		cmocka_unit_test(more_than_the_buffers_hold_arrives_whole_when_nobody_reads_at_first),
		cmocka_unit_test(its_end_cuts_tunnels),
		cmocka_unit_test(a_tunnel_without_a_byte_is_closed),
		cmocka_unit_test(tunnels_have_a_limit_and_leave_room_for_the_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
