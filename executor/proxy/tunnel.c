/*
 * CONNECT: a tunnel to a destination of the project's network.allow. The name is resolved here, once, by the machine's
 * resolver (the sandbox has none); every address is looked at by the guard, and connected to is the very address that
 * was looked at. What goes through is not looked into.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "common/http/address_look_up.h"
#include "executor/proxy/inside.h"

#define MAX_ADDRESSES 4
#define OPENING_MS 30000 /* resolving and connecting together */
#define ADDRESS_MS 10000 /* for each of several addresses */
#define LINGER_MS 2000
#define PIECE_BYTES ((size_t)32 * 1024)
#define REFUSAL_BYTES ((size_t)512)

enum end { AGENT, FAR };

/* One direction: what was read from one end and not yet written to the other. */
struct flow {
	struct buffer waiting;
	int64_t bytes;
	bool ended;  /* nothing more comes */
	bool passed; /* and the other end knows */
};

struct tunnel {
	struct list_node node;
	struct model_proxy *proxy;
	/* REFUSED: the answer is written, what still comes is thrown away. */
	enum { RESOLVING, CONNECTING, OPEN, REFUSED } state;
	struct network_place place;
	int fds[2];           /* by enum end */
	struct flow flows[2]; /* by the end that is read */
	bool ready;           /* something was reported, or has just become possible */

	struct address_look_up *look_up;
	struct sockaddr_storage addresses[MAX_ADDRESSES];
	size_t addresses_len, next;
	int why; /* errno of the last address */

	int64_t started_us, due_ms, give_up_ms;
	bool told;
};

_Static_assert(offsetof(struct tunnel, node) == 0, "as inside.h says");

/* ---- what is said */

static void tell(struct model_proxy *proxy, const struct network_place *place, int64_t started_us, int status,
				 const char *rest)
{
	char line[MODEL_PROXY_LINE_BYTES], where[NETWORK_PLACE_SIZE] = "?";
	if (place != NULL)
		network_place_write(place, where);
	(void)snprintf(line, sizeof(line), "[network] CONNECT %s: %d in %.3f s: %s", where, status,
				   (double)(clock_boot_us() - started_us) / 1e6, rest); /* it fits */
	proxy_tell(proxy, line);
}

/* Many clients show of an answer to CONNECT the status line alone, so that the reason stands there as well. */
static void write_refusal(struct buffer *out, int status, const char *why)
{
	(void)buffer_appendf(out,
						 "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
						 "%zu\r\n%sConnection: close\r\n\r\n%s\n",
						 status, why, strlen(why) + 1,
						 status == 407 ? "Proxy-Authenticate: Basic realm=\"kiln\"\r\n" : "",
						 why); /* room: at least OUT_HIGH_BYTES less than its maximum was in it */
	CHECK(buffer_ok(out));     /* as above */
}

static void refuse_connection(struct connection *connection, const struct network_place *place, int status,
							  const char *why)
{
	tell(connection->proxy, place, clock_boot_us(), status, why);
	write_refusal(&connection->out, status, why);
	connection->keep_alive = false;
	connection->finishing = true;
	connection_write(connection);
}

/* Once, when the tunnel has come to its end. */
static void tell_end(struct tunnel *tunnel, const char *cut)
{
	char rest[256];
	if (tunnel->told)
		return;
	tunnel->told = true;
	if (tunnel->state == OPEN)
		(void)snprintf(rest, sizeof(rest), "%lld bytes up, %lld bytes down%s%s", (long long)tunnel->flows[AGENT].bytes,
					   (long long)tunnel->flows[FAR].bytes, cut != NULL ? "; " : "",
					   cut != NULL ? cut : ""); /* it fits */
	else
		(void)snprintf(rest, sizeof(rest), "%s", cut); /* as above */
	tell(tunnel->proxy, &tunnel->place, tunnel->started_us, tunnel->state == OPEN ? 200 : 0, rest);
}

PRINTF_LIKE(3, 4)
static void refuse(struct tunnel *tunnel, int status, const char *format, ...)
{
	char why[REFUSAL_BYTES];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args); /* cut when it is longer */
	va_end(args);
	address_look_up_free(tunnel->look_up);
	tunnel->look_up = NULL;
	close_p(&tunnel->fds[FAR]);
	tunnel->told = true;
	tell(tunnel->proxy, &tunnel->place, tunnel->started_us, status, why);
	write_refusal(&tunnel->flows[FAR].waiting, status, why);
	tunnel->flows[FAR].ended = true;
	tunnel->state = REFUSED;
	tunnel->ready = true;
	tunnel->due_ms = clock_boot_ms() + LINGER_MS;
}

/* ---- opening */

static void connect_to_next(struct tunnel *tunnel)
{
	char where[NETWORK_PLACE_SIZE];
	while (tunnel->next < tunnel->addresses_len) {
		const struct sockaddr_storage *address = &tunnel->addresses[tunnel->next++];
		socklen_t len = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		close_p(&tunnel->fds[FAR]);
		tunnel->fds[FAR] = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (tunnel->fds[FAR] >= 0 &&
			(connect(tunnel->fds[FAR], (const struct sockaddr *)address, len) == 0 || errno == EINPROGRESS)) {
			int64_t due_ms = clock_boot_ms() + ADDRESS_MS;
			tunnel->due_ms = due_ms < tunnel->give_up_ms ? due_ms : tunnel->give_up_ms;
			tunnel->state = CONNECTING;
			return;
		}
		tunnel->why = errno;
	}
	network_place_write(&tunnel->place, where);
	refuse(tunnel, tunnel->why == ETIMEDOUT ? 504 : 502, "Kiln: %s cannot be connected to: %s", where,
		   strerror(tunnel->why));
}

static void resolved(struct tunnel *tunnel)
{
	struct error err = ERROR_INIT;
	int status = address_look_up_take(tunnel->look_up, tunnel->proxy->options.guard, tunnel->addresses, MAX_ADDRESSES,
									  &tunnel->addresses_len, &err);
	address_look_up_free(tunnel->look_up);
	tunnel->look_up = NULL;
	if (status < 0 && err.kind == ERR_DENIED)
		refuse(tunnel, 403,
			   "Kiln: %s has no public address, and the operator (KILN_NETWORK_ALLOW) does not allow others",
			   tunnel->place.host);
	else if (status < 0)
		refuse(tunnel, 502, "Kiln: %s", err.message);
	else
		connect_to_next(tunnel);
}

static void connected(struct tunnel *tunnel)
{
	int error = 0, on = 1;
	socklen_t len = sizeof(error);
	if (getsockopt(tunnel->fds[FAR], SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
		tunnel->why = error != 0 ? error : errno;
		connect_to_next(tunnel);
		return;
	}
	(void)setsockopt(tunnel->fds[FAR], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only faster */
	(void)setsockopt(tunnel->fds[FAR], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* the idle time-out does as well */
	tunnel->state = OPEN;
	tunnel->ready = true;
	tunnel->due_ms = clock_boot_ms() + tunnel->proxy->options.tunnel_idle_ms;
	CHECK(buffer_append_str(&tunnel->flows[FAR].waiting, "HTTP/1.1 200 Connection established\r\n\r\n") == 0);
}

/* What the agent has sent behind the head goes with it, and what it has not yet taken of an earlier answer. */
static void take_over(struct tunnel *tunnel, struct connection *connection)
{
	tunnel->fds[AGENT] = connection->fd;
	tunnel->flows[AGENT].waiting = connection->in;
	tunnel->flows[AGENT].bytes = (int64_t)connection->in.len;
	tunnel->flows[FAR].waiting = connection->out;
	buffer_init(&connection->in, connection->in.max);
	buffer_init(&connection->out, connection->out.max);
	connection->fd = -1;
	connection->dead = true;
}

static const char *check_head(const struct connection *connection, const struct request_head *head,
							  struct network_place *place, int *ret_status)
{
	const struct model_proxy *proxy = connection->proxy;
	const struct phr_header *header = request_head_find(head, "proxy-authorization");
	size_t len = strlen(proxy->authorization);
	struct error err = ERROR_INIT;
	*ret_status = 400;
	if (network_place_read(head->path, head->path_len, place, &err) < 0 || head->query_len > 0) {
		place->port = 0;
		return "Kiln: CONNECT wants HOST:PORT";
	}
	if (head->body_bytes != 0)
		return "Kiln: CONNECT has no body";
	*ret_status = 403;
	if (network_rules_len(proxy->options.rules) == 0)
		return "Kiln: this project's network.allow names nothing: there is no network but the model's API";
	*ret_status = 407;
	if (header == NULL || header->value_len != len ||
		!str_equal_constant_time(header->value, proxy->authorization, len))
		return "Kiln: the proxy's user and password are those of HTTPS_PROXY";
	*ret_status = 403;
	if (!network_rules_allow(proxy->options.rules, place))
		return "Kiln: this destination is not in the project's network.allow";
	*ret_status = 503;
	if (proxy->tunnels_len >= MODEL_PROXY_TUNNELS)
		return "Kiln: as many tunnels are open as an agent may have";
	return NULL;
}

void tunnel_take(struct connection *connection, const struct request_head *head, size_t head_size)
{
	struct model_proxy *proxy = connection->proxy;
	struct network_place place = {.port = 0};
	struct address_look_up *look_up = NULL;
	struct error err = ERROR_INIT;
	int status = 0;
	const char *why = check_head(connection, head, &place, &status);
	if (why == NULL && address_look_up_start(place.host, place.port, &look_up, &err) < 0) {
		status = 503;
		why = "Kiln: too many names are being resolved";
	}
	if (why != NULL) {
		refuse_connection(connection, place.port != 0 ? &place : NULL, status, why);
		return;
	}
	struct tunnel *tunnel = xcalloc(1, sizeof(*tunnel));
	tunnel->proxy = proxy;
	tunnel->place = place;
	tunnel->fds[FAR] = -1;
	tunnel->look_up = look_up;
	tunnel->why = ETIMEDOUT;
	tunnel->started_us = clock_boot_us();
	tunnel->due_ms = tunnel->give_up_ms = clock_boot_ms() + OPENING_MS;
	buffer_consume(&connection->in, head_size);
	take_over(tunnel, connection);
	list_append(&proxy->tunnels, &tunnel->node);
	proxy->tunnels_len++;
}

void tunnel_free(struct tunnel *tunnel, const char *cut)
{
	tell_end(tunnel, cut);
	list_remove(&tunnel->node);
	tunnel->proxy->tunnels_len--;
	address_look_up_free(tunnel->look_up);
	for (int end = AGENT; end <= FAR; end++) {
		close_p(&tunnel->fds[end]);
		buffer_release(&tunnel->flows[end].waiting);
	}
	free(tunnel);
}

/* ---- moving */

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Writes to `to`; how much, -1 when nobody is there. */
static ssize_t write_some(const struct tunnel *tunnel, enum end to, const char *data, size_t len)
{
	if (tunnel->fds[to] < 0)
		return (ssize_t)len; /* refused: it goes nowhere */
	ssize_t sent = send(tunnel->fds[to], data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 && would_block() ? 0 : sent;
}

static bool write_waiting(struct tunnel *tunnel, struct flow *flow, enum end to)
{
	if (flow->waiting.len == 0)
		return true;
	ssize_t sent = write_some(tunnel, to, flow->waiting.data, flow->waiting.len);
	if (sent < 0)
		return false;
	buffer_consume(&flow->waiting, (size_t)sent);
	give_back(&flow->waiting); /* most of the time nothing waits */
	return true;
}

/* One piece from one end to the other. False: an end is broken. */
static bool move_piece(struct tunnel *tunnel, struct flow *flow, enum end from, enum end to)
{
	char piece[PIECE_BYTES];
	ssize_t got = recv(tunnel->fds[from], piece, sizeof(piece), MSG_DONTWAIT);
	if (got < 0)
		return would_block();
	flow->ended = got == 0;
	flow->bytes += got;
	if (got > 0 && tunnel->state == OPEN)
		tunnel->due_ms = clock_boot_ms() + tunnel->proxy->options.tunnel_idle_ms;
	ssize_t sent = got > 0 ? write_some(tunnel, to, piece, (size_t)got) : 0;
	if (sent < 0)
		return false;
	if (sent < got)
		CHECK(buffer_append(&flow->waiting, piece + sent, (size_t)(got - sent)) == 0); /* it was empty */
	return true;
}

static bool move(struct tunnel *tunnel, enum end from)
{
	enum end to = from == AGENT ? FAR : AGENT;
	struct flow *flow = &tunnel->flows[from];
	if (!write_waiting(tunnel, flow, to))
		return false;
	if (flow->waiting.len == 0 && !flow->ended && !move_piece(tunnel, flow, from, to))
		return false;
	if (flow->waiting.len == 0 && flow->ended && !flow->passed) {
		flow->passed = true;
		if (tunnel->fds[to] >= 0)
			(void)shutdown(tunnel->fds[to], SHUT_WR); /* it may be gone: then reading tells */
	}
	return true;
}

static void run_out_of_time(struct tunnel *tunnel)
{
	if (tunnel->state == RESOLVING) {
		refuse(tunnel, 504, "Kiln: %s does not resolve in time", tunnel->place.host);
	} else if (tunnel->state == CONNECTING) {
		tunnel->why = ETIMEDOUT;
		if (clock_boot_ms() >= tunnel->give_up_ms)
			tunnel->next = tunnel->addresses_len;
		connect_to_next(tunnel);
	}
}

bool tunnel_tend(struct tunnel *tunnel, int64_t now_ms)
{
	const char *cut = NULL;
	bool over = false;
	if (tunnel->ready && tunnel->state == RESOLVING)
		resolved(tunnel);
	else if (tunnel->ready && tunnel->state == CONNECTING)
		connected(tunnel);
	else if (now_ms >= tunnel->due_ms && (tunnel->state == RESOLVING || tunnel->state == CONNECTING))
		run_out_of_time(tunnel);
	if (tunnel->state == OPEN || tunnel->state == REFUSED) {
		if (tunnel->ready && (!move(tunnel, FAR) || !move(tunnel, AGENT))) {
			over = true;
			cut = "one side has broken it off";
		} else if (tunnel->flows[AGENT].passed && tunnel->flows[FAR].passed) {
			over = true;
		} else if (now_ms >= tunnel->due_ms) {
			over = true;
			cut = "nothing has gone through for too long";
		}
	}
	tunnel->ready = false;
	if (over)
		tunnel_free(tunnel, cut);
	return !over;
}

int64_t tunnel_due_ms(const struct tunnel *tunnel)
{
	return tunnel->due_ms;
}

/* ---- waiting */

static short events_of(const struct tunnel *tunnel, enum end end)
{
	const struct flow *reads = &tunnel->flows[end], *writes = &tunnel->flows[end == AGENT ? FAR : AGENT];
	return (short)((reads->waiting.len == 0 && !reads->ended ? POLLIN : 0) | (writes->waiting.len > 0 ? POLLOUT : 0));
}

static void add(struct pollfd *fds, size_t *len, int fd, short events)
{
	if (fd >= 0 && events != 0) /* else its end would be told again and again */
		fds[(*len)++] = (struct pollfd){.fd = fd, .events = events};
}

size_t tunnel_fds(const struct tunnel *tunnel, struct pollfd fds[TUNNEL_FDS])
{
	size_t len = 0;
	if (tunnel->state == RESOLVING) {
		add(fds, &len, address_look_up_fd(tunnel->look_up), POLLIN);
	} else if (tunnel->state == CONNECTING) {
		add(fds, &len, tunnel->fds[FAR], POLLOUT);
	} else {
		add(fds, &len, tunnel->fds[AGENT], events_of(tunnel, AGENT));
		add(fds, &len, tunnel->fds[FAR], events_of(tunnel, FAR));
	}
	return len;
}

void tunnel_ready(struct tunnel *tunnel)
{
	tunnel->ready = true;
}
