/* The thread: who is polled for what, in one loop. */
#include "executor/proxy/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/http/easy.h"
#include "executor/proxy/inside.h"
#include "executor/proxy/key.h"

#define POLL_MS 1000
#define BACKLOG 128
#define STACK_BYTES ((size_t)256 * 1024)
#define TOKEN_BYTES 20
#define BASIC "Basic "
#define LINES_HIGH_BYTES ((size_t)32 * 1024)
/* What is under way when it is reached ends in a line each; a turn of the loop may refuse one on each connection. */
_Static_assert(LINES_HIGH_BYTES + (2 * MODEL_PROXY_CONNECTIONS + MODEL_PROXY_TUNNELS) * MODEL_PROXY_LINE_BYTES <=
				   MODEL_PROXY_LINES_BYTES,
			   "lines have room");

void model_proxy_warm_up(void)
{
	http_curl_init();
}

/* ---- the listener */

/* A path of any length, by its folder's descriptor. */
static int bind_socket(int fd, const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(free_p) char *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');
	CHECK(slash != NULL);
	*slash = '\0';
	CLEANUP(close_p) int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0)
		return error_set_errno(err, errno, "the folder of the model proxy's socket");
	int len = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder_fd, slash + 1);
	CHECK(len > 0 && (size_t)len < sizeof(address.sun_path));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0)
		return error_set_errno(err, errno, "the model proxy's socket");
	return 0;
}

static int bind_port(int fd, int *ret_port, struct error *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return error_set_errno(err, errno, "the model proxy's port");
	*ret_port = ntohs(address.sin_port);
	return 0;
}

static int open_listener(struct model_proxy *proxy, struct error *err)
{
	const char *path = proxy->options.socket_path;
	CLEANUP(close_p) int fd = socket(path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, errno, "the model proxy's socket");
	if ((path != NULL ? bind_socket(fd, path, err) : bind_port(fd, &proxy->port, err)) < 0)
		return -1;
	if (listen(fd, BACKLOG) < 0)
		return error_set_errno(err, errno, "the model proxy's socket");
	proxy->listen_fd = fd_take(&fd);
	return 0;
}

/* Who waits for no answer makes room for who has just come. NULL: all are at work. */
static struct connection *find_idle(const struct model_proxy *proxy)
{
	LIST_FOR_EACH (node, &proxy->connections) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		if (!connection->dead && connection->call == NULL && connection->in.len == 0 && connection->out.len == 0)
			return connection;
	}
	return NULL;
}

static bool may_accept(const struct model_proxy *proxy, int64_t now_ms)
{
	return now_ms >= proxy->accept_ms && (proxy->connections_len < MODEL_PROXY_CONNECTIONS || find_idle(proxy) != NULL);
}

static void accept_some(struct model_proxy *proxy)
{
	/* Not more in one turn: each may take the place of one that is freed only after it. */
	for (int taken = 0; taken < MODEL_PROXY_CONNECTIONS && may_accept(proxy, clock_boot_ms()); taken++) {
		int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
		if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			proxy->accept_ms = clock_boot_ms() + POLL_MS; /* no descriptors: they wait */
		if (fd < 0)
			return;
		struct connection *idle = proxy->connections_len >= MODEL_PROXY_CONNECTIONS ? find_idle(proxy) : NULL;
		if (idle != NULL)
			idle->dead = true;
		if (proxy->port != 0)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only faster */
		connection_new(proxy, fd);
	}
}

/* ---- the loop */

static void collect_done(struct model_proxy *proxy)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(proxy->multi, &left)) != NULL) {
		struct call *call = NULL;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		upstream_done(call, code);
	}
}

static int64_t tend(struct model_proxy *proxy)
{
	int64_t now_ms = clock_boot_ms(), due_ms = now_ms + POLL_MS;
	LIST_FOR_EACH (node, &proxy->connections) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		if (connection_tend(connection, now_ms) && connection->due_ms < due_ms)
			due_ms = connection->due_ms;
	}
	LIST_FOR_EACH (node, &proxy->tunnels) {
		struct tunnel *tunnel = (struct tunnel *)node;
		if (tunnel_tend(tunnel, now_ms) && tunnel_due_ms(tunnel) < due_ms)
			due_ms = tunnel_due_ms(tunnel);
	}
	return due_ms;
}

/* What one turn waits for, and for whom; for neither: the listener. */
struct waiting {
	unsigned len;
	struct curl_waitfd fds[1 + MODEL_PROXY_CONNECTIONS + TUNNEL_FDS * MODEL_PROXY_TUNNELS];
	struct connection *connections[1 + MODEL_PROXY_CONNECTIONS + TUNNEL_FDS * MODEL_PROXY_TUNNELS];
	struct tunnel *tunnels[1 + MODEL_PROXY_CONNECTIONS + TUNNEL_FDS * MODEL_PROXY_TUNNELS];
};

static void wait_for(struct waiting *waiting, int fd, short events, struct connection *connection,
					 struct tunnel *tunnel)
{
	waiting->connections[waiting->len] = connection;
	waiting->tunnels[waiting->len] = tunnel;
	waiting->fds[waiting->len++] = (struct curl_waitfd){
		.fd = fd,
		.events = (short)((events & POLLIN ? CURL_WAIT_POLLIN : 0) | (events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
}

static void wait_for_all(struct model_proxy *proxy, struct waiting *waiting)
{
	waiting->len = 0;
	if (may_accept(proxy, clock_boot_ms()))
		wait_for(waiting, proxy->listen_fd, POLLIN, NULL, NULL);
	LIST_FOR_EACH (node, &proxy->connections) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		short events = connection_events(connection);
		if (events != 0) /* else its end would be told again and again */
			wait_for(waiting, connection->fd, events, connection, NULL);
	}
	LIST_FOR_EACH (node, &proxy->tunnels) {
		struct tunnel *tunnel = (struct tunnel *)node;
		struct pollfd fds[TUNNEL_FDS];
		size_t len = tunnel_fds(tunnel, fds);
		for (size_t i = 0; i < len; i++)
			wait_for(waiting, fds[i].fd, fds[i].events, NULL, tunnel);
	}
}

static void wait_and_serve(struct model_proxy *proxy, int64_t due_ms)
{
	struct waiting waiting;
	wait_for_all(proxy, &waiting);
	CHECK(curl_multi_poll(proxy->multi, waiting.fds, waiting.len, clock_left_ms(due_ms), NULL) == CURLM_OK);
	for (unsigned i = 0; i < waiting.len; i++) {
		short events = waiting.fds[i].revents;
		if (events == 0)
			continue;
		if (waiting.tunnels[i] != NULL)
			tunnel_ready(waiting.tunnels[i]);
		else if (waiting.connections[i] == NULL)
			accept_some(proxy);
		else
			connection_ready(waiting.connections[i], (short)((events & CURL_WAIT_POLLIN ? POLLIN : 0) |
															 (events & CURL_WAIT_POLLOUT ? POLLOUT : 0)));
	}
}

static bool is_stopping(struct model_proxy *proxy)
{
	mutex_lock(&proxy->mutex);
	bool stopping = proxy->stopping;
	mutex_unlock(&proxy->mutex);
	return stopping;
}

static void *proxy_thread(void *ctx)
{
	struct model_proxy *proxy = ctx;
	int running = 0;
	while (!is_stopping(proxy)) {
		CHECK(curl_multi_perform(proxy->multi, &running) == CURLM_OK);
		collect_done(proxy);
		int64_t due_ms = tend(proxy);
		wait_and_serve(proxy, due_ms);
		(void)tend(proxy); /* before libcurl goes on: what was refused goes no further */
	}
	LIST_FOR_EACH (node, &proxy->connections) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		if (connection->call != NULL)
			call_end(connection->call, "the attempt has ended");
		connection_free(connection);
	}
	LIST_FOR_EACH (node, &proxy->tunnels)
		tunnel_free((struct tunnel *)node, "the attempt has ended");
	return NULL;
}

/* ---- what others are told */

static void publish(struct model_proxy *proxy)
{
	proxy->told = proxy->meter;
	wakeup_signal(&proxy->wakeup);
}

void proxy_tell(struct model_proxy *proxy, const char *line)
{
	char plain[MODEL_PROXY_LINE_BYTES];
	size_t len = 0;
	/* Methods, paths, names of models and what servers say stand in it: none of them makes a line of its own, or speaks
	 * to somebody's terminal. */
	for (; *line != '\0' && len < sizeof(plain) - 2; line++)
		plain[len++] = (char)(*line >= ' ' && *line <= '~' ? *line : '?');
	plain[len++] = '\n';
	plain[len] = '\0';
	mutex_lock(&proxy->mutex);
	CHECK(buffer_append_str(&proxy->lines, plain) == 0); /* above LINES_HIGH_BYTES there are no new requests */
	publish(proxy);
	mutex_unlock(&proxy->mutex);
}

void proxy_tell_key(struct model_proxy *proxy, const char *key)
{
	if (str_equal(proxy->last_key, key))
		return;
	model_key_free(proxy->last_key);
	proxy->last_key = xstrdup(key);
	mutex_lock(&proxy->mutex);
	model_key_free(proxy->new_key);
	proxy->new_key = xstrdup(key);
	publish(proxy);
	mutex_unlock(&proxy->mutex);
}

void proxy_is_active(struct model_proxy *proxy)
{
	atomic_store_explicit(&proxy->active_ms, clock_boot_ms(), memory_order_relaxed);
}

int64_t model_proxy_active_ms(const struct model_proxy *proxy)
{
	return atomic_load_explicit(&proxy->active_ms, memory_order_relaxed);
}

bool proxy_is_held_up(struct model_proxy *proxy)
{
	mutex_lock(&proxy->mutex);
	bool held_up = proxy->lines.len > LINES_HIGH_BYTES;
	mutex_unlock(&proxy->mutex);
	return held_up;
}

void model_proxy_take(struct model_proxy *proxy, struct buffer *lines, char **ret_key)
{
	mutex_lock(&proxy->mutex);
	bool held_up = proxy->lines.len > LINES_HIGH_BYTES;
	wakeup_clear(&proxy->wakeup);
	if (proxy->lines.len > 0)
		(void)buffer_append(lines, proxy->lines.data, proxy->lines.len); /* the caller has given room */
	buffer_clear(&proxy->lines);
	*ret_key = proxy->new_key;
	proxy->new_key = NULL;
	mutex_unlock(&proxy->mutex);
	if (held_up && proxy->started)
		curl_multi_wakeup(proxy->multi);
}

struct model_meter model_proxy_meter(struct model_proxy *proxy)
{
	mutex_lock(&proxy->mutex);
	struct model_meter meter = proxy->told;
	mutex_unlock(&proxy->mutex);
	return meter;
}

int model_proxy_fd(const struct model_proxy *proxy)
{
	return proxy->wakeup.fd;
}

/* ---- from beginning to end */

int model_proxy_port(const struct model_proxy *proxy)
{
	return proxy->port;
}

const char *model_proxy_token(const struct model_proxy *proxy)
{
	return proxy->token;
}

const char *model_proxy_basic(const struct model_proxy *proxy)
{
	return proxy->authorization + strlen(BASIC);
}

static void make_token(struct model_proxy *proxy)
{
	uint8_t random[TOKEN_BYTES];
	CLEANUP(buffer_release_p) struct buffer basic;
	random_bytes(random, sizeof(random));
	memcpy(proxy->token, "kiln-", 5);
	hex_encode(random, sizeof(random), proxy->token + 5);
	CLEANUP(free_p) char *user = xasprintf(MODEL_PROXY_USER ":%s", proxy->token);
	buffer_init(&basic, sizeof(proxy->authorization));
	CHECK(base64_append(&basic, user, strlen(user)) == 0);
	int len = snprintf(proxy->authorization, sizeof(proxy->authorization), BASIC "%s", basic.data);
	CHECK(len > 0 && (size_t)len < sizeof(proxy->authorization));
}

int model_proxy_new(const struct model_proxy_options *options, struct model_proxy **ret_proxy, struct error *err)
{
	struct model_proxy *proxy = xcalloc(1, sizeof(*proxy));
	proxy->options = *options;
	proxy->listen_fd = -1;
	proxy->meter = (struct model_meter){.prices = options->prices, .limits = options->limits};
	proxy->told = proxy->meter;
	list_init(&proxy->connections);
	list_init(&proxy->tunnels);
	if (open_listener(proxy, err) < 0) {
		free(proxy);
		return -1;
	}
	make_token(proxy);
	mutex_init(&proxy->mutex);
	wakeup_init(&proxy->wakeup);
	buffer_init(&proxy->lines, MODEL_PROXY_LINES_BYTES);
	http_curl_init();
	proxy->multi = curl_multi_init();
	CHECK(proxy->multi != NULL);
	curl_multi_setopt(proxy->multi, CURLMOPT_MAXCONNECTS, (long)MODEL_PROXY_CONNECTIONS);
	curl_multi_setopt(proxy->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	*ret_proxy = proxy;
	return 0;
}

int model_proxy_start(struct model_proxy *proxy, struct error *err)
{
	if (thread_start(&proxy->thread, "model-proxy", STACK_BYTES, proxy_thread, proxy, err) < 0)
		return -1;
	proxy->started = true;
	return 0;
}

void model_proxy_stop(struct model_proxy *proxy)
{
	if (!proxy->started)
		return;
	mutex_lock(&proxy->mutex);
	proxy->stopping = true;
	mutex_unlock(&proxy->mutex);
	curl_multi_wakeup(proxy->multi);
	thread_join(proxy->thread);
	proxy->started = false;
	close_p(&proxy->listen_fd);       /* who waits there is told so */
	curl_multi_cleanup(proxy->multi); /* with the connections that were kept for later */
	proxy->multi = NULL;
}

void model_proxy_free(struct model_proxy *proxy)
{
	if (proxy == NULL)
		return;
	model_proxy_stop(proxy);
	if (proxy->multi != NULL)
		curl_multi_cleanup(proxy->multi);
	close_p(&proxy->listen_fd);
	wakeup_release(&proxy->wakeup);
	buffer_release(&proxy->lines);
	model_key_free(proxy->last_key);
	model_key_free(proxy->new_key);
	(void)pthread_mutex_destroy(&proxy->mutex); /* nobody holds it */
	free(proxy);
}
