#include "common/http/ops_server.h"

#include <errno.h>
#include <h2o.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/listen.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/http/steady_timeouts.h"
#include "common/json/json.h"

#define MAX_CONNECTIONS 32
#define MAX_BODY_BYTES (4UL * 1024 * 1024)
#define REQUEST_TIMEOUT_MS 10000
#define PAUSE_MS 100 /* before accepting again when descriptors were wanting */
/* What h2o and the checks need, measured generously; the default of 8 MiB would only be address space, but counts where
 * memory is locked. */
#define STACK_BYTES (256UL * 1024)

/* One per process, in static storage: h2o's loop is never destroyed, so it stays reachable. */
static struct {
	h2o_globalconf_t config;
	h2o_context_t context;
	h2o_accept_ctx_t accept;
	h2o_multithread_receiver_t wake;
	h2o_socket_t *listener;
	h2o_timeout_t pause_timeout;
	h2o_timeout_entry_t pause;
	pthread_t thread;
	_Atomic bool stopping;
	size_t connections;
	struct ops_check *checks;
	size_t checks_len;
	int port;
	bool started;
} ops;

#ifdef KILN_SANITIZED
/* h2o keeps free lists per thread, which a thread that ends leaves behind (h2o issue 1609). */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:h2o_mem_alloc_recycle\n";
}
#endif

static int answer(h2o_req_t *req, int status, const char *reason, const char *type, const struct buffer *body)
{
	static h2o_generator_t generator;
	/* Copied into the request's pool: h2o_send does not copy. */
	h2o_iovec_t data = h2o_strdup(&req->pool, body->data, body->len);

	req->res.status = status;
	req->res.reason = reason;
	req->res.content_length = body->len;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
	h2o_start_response(req, &generator);
	if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")))
		h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
	else
		h2o_send(req, &data, 1, H2O_SEND_STATE_FINAL);
	return 0;
}

static int answer_text(h2o_req_t *req, int status, const char *reason, const char *text)
{
	struct buffer body;

	buffer_init(&body, 256);
	(void)buffer_append_str(&body, text); /* constants of this file: they fit */
	int result = answer(req, status, reason, "text/plain; charset=utf-8", &body);
	buffer_release(&body);
	return result;
}

static bool write_check(struct json_writer *w, const char *name, bool pass, const char *detail)
{
	json_object_begin(w, NULL);
	json_string(w, "name", name);
	json_string(w, "status", pass ? "pass" : "fail");
	if (!pass)
		json_string(w, "detail", detail);
	json_object_end(w);
	return pass;
}

static int answer_ready(h2o_req_t *req)
{
	struct buffer checks, body, why;
	struct json_writer w;
	bool pass = true;

	buffer_init(&checks, MAX_BODY_BYTES);
	buffer_init(&body, MAX_BODY_BYTES);
	buffer_init(&why, 4096);
	json_writer_init(&w, &checks);
	json_array_begin(&w, NULL);
	if (signals_draining())
		pass = write_check(&w, "draining", false, "the service was told to stop");
	for (size_t i = 0; i < ops.checks_len; i++) {
		buffer_clear(&why);
		bool fulfilled = ops.checks[i].check(ops.checks[i].ctx, &why);
		if (!write_check(&w, ops.checks[i].name, fulfilled, why.len > 0 ? why.data : "not there yet"))
			pass = false;
	}
	json_array_end(&w);
	json_writer_init(&w, &body);
	json_object_begin(&w, NULL);
	json_string(&w, "status", pass ? "pass" : "fail");
	json_raw_len(&w, "checks", checks.data, checks.len);
	json_object_end(&w);
	int result = pass ? answer(req, 200, "OK", "application/json", &body)
					  : answer(req, 503, "Service Unavailable", "application/json", &body);
	buffer_release(&why);
	buffer_release(&body);
	buffer_release(&checks);
	return result;
}

static int answer_metrics(h2o_req_t *req)
{
	struct buffer body;
	int result;

	buffer_init(&body, MAX_BODY_BYTES);
	if (metrics_render(&body) < 0)
		result = answer_text(req, 500, "Internal Server Error", "the metrics are longer than 4 MiB\n");
	else
		result = answer(req, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", &body);
	buffer_release(&body);
	return result;
}

static bool path_is(const h2o_req_t *req, const char *path)
{
	size_t len = req->query_at != SIZE_MAX ? req->query_at : req->path.len;
	return h2o_memis(req->path.base, len, path, strlen(path));
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	(void)handler;
	bool known = path_is(req, "/livez") || path_is(req, "/readyz") || path_is(req, "/metrics");

	if (!known)
		return answer_text(req, 404, "Not Found", "there are /livez, /readyz and /metrics\n");
	if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) &&
		!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"))) {
		h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, H2O_STRLIT("GET, HEAD"));
		return answer_text(req, 405, "Method Not Allowed", "only GET and HEAD\n");
	}
	if (path_is(req, "/readyz"))
		return answer_ready(req);
	if (path_is(req, "/metrics"))
		return answer_metrics(req);
	return answer_text(req, 200, "OK", "ok\n");
}

static void on_accept(h2o_socket_t *listener, const char *err);

static void go_on_accepting(void)
{
	if (ops.connections < MAX_CONNECTIONS && !h2o_timeout_is_linked(&ops.pause) && !atomic_load(&ops.stopping))
		h2o_socket_read_start(ops.listener, on_accept);
}

static void on_pause_over(h2o_timeout_entry_t *entry)
{
	(void)entry;
	go_on_accepting();
}

static void on_close(void *data)
{
	(void)data;
	ops.connections--;
	go_on_accepting();
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
	if (err != NULL)
		return;
	errno = 0;
	h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
	if (socket == NULL) {
		/* Level-triggered: a listener with somebody in its queue must not be looked at while nobody can come in. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			h2o_socket_read_stop(listener);
			h2o_timeout_link(ops.context.loop, &ops.pause_timeout, &ops.pause);
		}
		return;
	}
	socket->on_close.cb = on_close;
	socket->on_close.data = NULL;
	if (++ops.connections == MAX_CONNECTIONS) /* as above, with a full house */
		h2o_socket_read_stop(listener);
	h2o_accept(&ops.accept, socket);
}

static void on_wake(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	(void)messages; /* always empty: only NULL is sent, to end the wait */
}

static void *ops_thread(void *ctx)
{
	(void)ctx;
	h2o_socket_read_start(ops.listener, on_accept);
	while (!atomic_load(&ops.stopping))
		h2o_evloop_run(ops.context.loop, STEADY_TURN_MAX_MS);
	h2o_timeout_unlink(&ops.pause);
	h2o_socket_read_stop(ops.listener);
	h2o_socket_close(ops.listener);
	h2o_evloop_run(ops.context.loop, 0);
	return NULL;
}

static int open_listener(const char *address, int64_t port, int *ret_fd, struct error *err)
{
	char service[8];
	(void)snprintf(service, sizeof(service), "%u", (unsigned)(uint16_t)port); /* fits: five digits */
	if (listen_on(address, service, AI_NUMERICHOST | AI_NUMERICSERV, MAX_CONNECTIONS, ret_fd, err) < 0)
		return error_prefix(err, "ops port");
	return 0;
}

static void set_up(int fd, const struct ops_check *checks, size_t count)
{
	ops.checks = xcalloc(count + 1, sizeof(*checks));
	if (count > 0)
		memcpy(ops.checks, checks, count * sizeof(*checks));
	ops.checks_len = count;
	ops.port = listen_port(fd);

	h2o_config_init(&ops.config);
	ops.config.max_request_entity_size = 1024;
	ops.config.http1.req_timeout = REQUEST_TIMEOUT_MS;
	ops.config.http1.upgrade_to_http2 = 0;
	h2o_hostconf_t *host = h2o_config_register_host(&ops.config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(h2o_handler_t))->on_req = on_request;
	h2o_context_init(&ops.context, h2o_evloop_create(), &ops.config);
	h2o_timeout_init(ops.context.loop, &ops.pause_timeout, PAUSE_MS);
	ops.pause.cb = on_pause_over;
	ops.accept.ctx = &ops.context;
	ops.accept.hosts = ops.config.hosts;
	h2o_multithread_register_receiver(ops.context.queue, &ops.wake, on_wake);
	ops.listener = h2o_evloop_socket_create(ops.context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
}

int ops_server_start(const char *address, int64_t port, const struct ops_check *checks, size_t count, struct error *err)
{
	int fd;

	CHECK(!ops.started);
	CHECK(steady_timeouts_in_place());
	if (open_listener(address, port, &fd, err) < 0)
		return -1;
	set_up(fd, checks, count);
	if (thread_start(&ops.thread, "ops-server", STACK_BYTES, ops_thread, NULL, err) < 0)
		return -1;
	ops.started = true;
	log_info("ops port open", "address", address, "port", LOG_INT(ops.port), NULL);
	return 0;
}

int ops_server_port(void)
{
	return ops.port;
}

void ops_server_stop(void)
{
	if (!ops.started)
		return;
	atomic_store(&ops.stopping, true);
	h2o_multithread_send_message(&ops.wake, NULL);
	thread_join(ops.thread);
	free(ops.checks);
	ops.checks = NULL;
	ops.checks_len = 0;
	ops.started = false;
}
