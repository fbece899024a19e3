#include "api-gateway/server.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "api-gateway/builds/build_wait.h"
#include "api-gateway/dispatch.h"
#include "api-gateway/requests/early_error.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/streams.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/listen.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/http/chunks.h"
#include "common/http/steady_timeouts.h"
#include "common/json/json_pool.h"

#define BACKLOG 4096
#define ACCEPTS_A_TURN 32
#define PAUSE_MS 100
#define DRAIN_STEP_MS 50
#define COMPLAIN_EVERY_MS 10000
/* The sweep's limits are what counts (connections.h); h2o's, which begins with the last answer, must not come before
 * them. */
#define H2O_SLACK_MS 5000

struct server {
	struct gateway *gateway;
	h2o_globalconf_t config;
	h2o_hostconf_t *host;
	int listen_fd, port;
	struct loops loops;
	struct access_log *logs;
	h2o_multithread_message_t *leave_messages, *drain_messages; /* one for each loop */
	pthread_barrier_t started;                                  /* the loops and server_start */
};

static void on_accept(h2o_socket_t *listener, const char *err);

static void set_listening(struct loop *loop, bool listening)
{
	if (loop->listener == NULL || loop->listening == listening)
		return;
	loop->listening = listening;
	if (listening)
		h2o_socket_read_start(loop->listener, on_accept);
	else
		h2o_socket_read_stop(loop->listener);
}

static void on_pause_over(h2o_timeout_entry_t *entry)
{
	set_listening(CONTAINER_OF(entry, struct loop, pause), true);
}

/* Out of descriptors: the listener stays readable, so look away for a moment. */
static void pause_accepting(struct loop *loop, int why)
{
	int64_t now_ms = clock_boot_ms();
	if (now_ms >= loop->complain_ms) {
		log_warn("cannot accept connections", "error", strerror(why), NULL);
		loop->complain_ms = now_ms + COMPLAIN_EVERY_MS;
	}
	set_listening(loop, false);
	if (!h2o_timeout_is_linked(&loop->pause))
		h2o_timeout_link(loop->ctx.loop, &loop->pause_timeout, &loop->pause);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
	struct loop *loop = listener->data;
	if (err != NULL)
		return;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		errno = 0;
		h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
		if (sock == NULL) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(loop, errno);
			return;
		}
		connection_take(loop, sock, 0);
	}
}

/* Whoever is in the queue has been answered by the kernel: closing it would reset them. */
static void accept_rest(struct loop *loop)
{
	for (int i = 0; i < BACKLOG; i++) {
		h2o_socket_t *sock = h2o_evloop_socket_accept(loop->listener);
		if (sock == NULL)
			return;
		connection_take(loop, sock, 0);
	}
}

static int on_request(h2o_handler_t *self, h2o_req_t *h2o)
{
	(void)self;
	dispatch_new(loop_of(h2o), h2o);
	return 0;
}

static void on_posted(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	while (!h2o_linklist_is_empty(messages)) {
		h2o_multithread_message_t *message = CONTAINER_OF(messages->next, h2o_multithread_message_t, link);
		h2o_linklist_unlink(&message->link);
		struct request *request = CONTAINER_OF(message, struct request, message);
		request->lent = false;
		request->on_loop(request);
	}
}

static void on_control(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	struct loop *loop = CONTAINER_OF(receiver, struct loop, control);
	for (h2o_linklist_t *message = messages->next; message != messages;) {
		h2o_linklist_t *next = message->next;
		h2o_linklist_unlink(message);
		message = next;
	}
	if (loop->draining)
		return;
	h2o_context_request_shutdown(&loop->ctx);
	if (loop->drain_until_ms == 0)
		return;
	loop->draining = true;
	h2o_timeout_unlink(&loop->pause);
	accept_rest(loop);
	set_listening(loop, false);
	h2o_socket_close(loop->listener);
	loop->listener = NULL;
	stream_hub_drain(loop->streams);
	build_waits_drain(loop->waits);
}

/* On the loop's own thread: a socket's buffers come from, and go back to, free lists of the thread that made the socket
 * (h2o's pipe between threads is one too). Made elsewhere, two loops share such a list and corrupt it. */
static void init_loop(struct loop *loop)
{
	struct server *server = loop->server;
	const struct gateway_config *config = loop->gateway->config;
	h2o_context_init(&loop->ctx, h2o_evloop_create(), &server->config);
	loop->accept_ctx = (h2o_accept_ctx_t){.ctx = &loop->ctx, .hosts = server->config.hosts};
	h2o_multithread_register_receiver(loop->ctx.queue, &loop->requests, on_posted);
	h2o_multithread_register_receiver(loop->ctx.queue, &loop->control, on_control);
	h2o_timeout_init(loop->ctx.loop, &loop->accept_timeout, ACCEPT_DEADLINE_MS);
	h2o_timeout_init(loop->ctx.loop, &loop->request_timeout, (uint64_t)config->request_timeout_ms);
	int64_t rest_ms = config->request_timeout_ms - ACCEPT_DEADLINE_MS;
	h2o_timeout_init(loop->ctx.loop, &loop->rest_timeout, rest_ms > 0 ? (uint64_t)rest_ms : 0);
	h2o_timeout_init(loop->ctx.loop, &loop->pause_timeout, PAUSE_MS);
	loop->pause.cb = on_pause_over;
	loop->streams = stream_hub_new(loop);
	loop->waits = build_waits_new(loop);
	build_reads_turn_init(&loop->reads);
	connections_init(loop);
	handovers_init(loop, connection_take);
	buffer_init(&loop->scratch, GATEWAY_WRITTEN_MAX);
	loop->trees = json_pool_new(JSON_POOL_BYTES);
	loop->listener = h2o_evloop_socket_create(loop->ctx.loop, loop->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
	loop->listener->data = loop;
	set_listening(loop, true);
}

static void *run_loop(void *arg)
{
	struct loop *loop = arg;
	init_loop(loop);
	(void)pthread_barrier_wait(&loop->server->started); /* one of them gets another value, that is all */
	for (;;) {
		(void)h2o_evloop_run(loop->ctx.loop, loop->draining ? DRAIN_STEP_MS : STEADY_TURN_MAX_MS); /* EINTR is fine */
		if (loop->draining)
			connections_close_idle(loop);
		if (loop->draining && (loop->connections.len == 0 || clock_boot_ms() >= loop->drain_until_ms))
			return NULL;
	}
}

static int open_listener(struct server *server, const char *address, struct error *err)
{
	CLEANUP(free_p) char *host = NULL;
	CLEANUP(free_p) char *port = NULL;
	if (config_split_address(address, &host, &port, err) < 0)
		return -1;
	if (listen_on(host, port, 0, BACKLOG, &server->listen_fd, err) < 0)
		return error_prefix(err, "KILN_LISTEN");
	server->port = listen_port(server->listen_fd);
	return 0;
}

static void configure(struct server *server)
{
	const struct gateway_config *config = server->gateway->config;
	h2o_config_init(&server->config);
	server->config.server_name = h2o_iovec_init(H2O_STRLIT("kiln"));
	server->config.http1.upgrade_to_http2 = 0;
	server->config.http1.req_timeout =
		(uint64_t)(config->idle_timeout_ms + config->header_timeout_ms + config->body_timeout_ms + H2O_SLACK_MS);
	server->config.handshake_timeout = (uint64_t)config->header_timeout_ms;
	/* Of a chunked body h2o takes less than this, of one with a length as much. */
	server->config.max_request_entity_size = (size_t)config->max_body_bytes + 1;
	server->host = h2o_config_register_host(&server->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *all = h2o_config_register_path(server->host, "/", 0);
	h2o_handler_t *handler = h2o_create_handler(all, sizeof(*handler));
	handler->on_req = on_request;
	early_errors_register(all, &server->host->fallback_path);
}

static size_t thread_count(const struct gateway_config *config)
{
	if (config->threads > 0)
		return (size_t)config->threads;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores > 0 ? (size_t)cores : 1;
}

static int start_loop(struct server *server, size_t index, struct error *err)
{
	struct loop *loop = &server->loops.of[index];
	loop->server = server;
	loop->all = &server->loops;
	loop->index = index;
	loop->gateway = server->gateway;
	loop->log = access_log_at(server->logs, index);
	/* One socket, a descriptor each: whichever loop is free accepts, and none takes waiting connections with it when it
	 * ends. */
	loop->listen_fd = fcntl(server->listen_fd, F_DUPFD_CLOEXEC, 0);
	if (loop->listen_fd < 0)
		return error_set_errno(err, errno, "duplicating the listening socket");
	return thread_start(&loop->thread, "gateway-loop", 0, run_loop, loop, err);
}

int server_start(struct gateway *gateway, struct server **ret_server, struct error *err)
{
	const struct gateway_config *config = gateway->config;
	struct server *server = xcalloc(1, sizeof(*server));
	server->gateway = gateway;
	CHECK(chunks_in_place());
	CHECK(steady_timeouts_in_place());
	if (open_listener(server, config->listen, err) < 0) {
		free(server);
		return -1;
	}
	configure(server);
	connections_register_metrics();
	requests_register_metrics();
	server->loops.len = thread_count(config);
	server->loops.connections_max = connections_allowed(config);
	server->loops.of = xcalloc(server->loops.len, sizeof(*server->loops.of));
	server->leave_messages = xcalloc(server->loops.len, sizeof(*server->leave_messages));
	server->drain_messages = xcalloc(server->loops.len, sizeof(*server->drain_messages));
	server->logs = access_logs_start(server->loops.len, config->access_log, &config->common);
	CHECK(pthread_barrier_init(&server->started, NULL, (unsigned)server->loops.len + 1) == 0);
	/* From here on a failure ends the process: nothing is taken back. */
	for (size_t i = 0; i < server->loops.len; i++) {
		if (start_loop(server, i, err) < 0)
			return -1;
	}
	(void)pthread_barrier_wait(&server->started); /* as above */
	*ret_server = server;
	return 0;
}

int server_port(const struct server *server)
{
	return server->port;
}

void server_leave(struct server *server)
{
	for (size_t i = 0; i < server->loops.len; i++)
		h2o_multithread_send_message(&server->loops.of[i].control, &server->leave_messages[i]);
}

void server_drain(struct server *server, int64_t deadline_ms)
{
	(void)close(server->listen_fd); /* the loops close theirs */
	for (size_t i = 0; i < server->loops.len; i++) {
		struct loop *loop = &server->loops.of[i];
		loop->drain_until_ms = deadline_ms;
		h2o_multithread_send_message(&loop->control, &server->drain_messages[i]);
	}
	for (size_t i = 0; i < server->loops.len; i++)
		thread_join(server->loops.of[i].thread);
	access_logs_stop(server->logs);
	/* h2o's loops live as long as the process (its destructors are incomplete, libraries.md). */
}
