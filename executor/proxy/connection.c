/* The agent's side: HTTP/1.1 on one connection, one request after the other. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "executor/proxy/inside.h"

#define READ_BYTES ((size_t)16 * 1024)
#define IN_MAX_BYTES (REQUEST_HEAD_MAX_BYTES + READ_BYTES)
/* An answer is taken up to here; with the key that may be held back, one piece of libcurl's and frames, it fits. */
#define OUT_HIGH_BYTES ((size_t)128 * 1024)
#define OUT_MAX_BYTES (OUT_HIGH_BYTES + (size_t)256 * 1024)
#define KEEP_ALIVE_MS 300000
#define HEAD_MS 30000
#define BODY_MS 60000
#define LINGER_MS 2000

void connection_due_in(struct connection *connection, int64_t ms)
{
	connection->due_ms = clock_boot_ms() + ms;
}

void connection_new(struct model_proxy *proxy, int fd)
{
	struct connection *connection = xcalloc(1, sizeof(*connection));
	connection->proxy = proxy;
	connection->fd = fd;
	connection->keep_alive = true;
	buffer_init(&connection->in, IN_MAX_BYTES);
	buffer_init(&connection->out, OUT_MAX_BYTES);
	connection_due_in(connection, HEAD_MS);
	list_append(&proxy->connections, &connection->node);
	proxy->connections_len++;
}

void connection_free(struct connection *connection)
{
	list_remove(&connection->node);
	connection->proxy->connections_len--;
	call_free(connection->call);
	close_p(&connection->fd);
	buffer_release(&connection->in);
	buffer_release(&connection->out);
	free(connection);
}

/* ---- writing */

bool connection_has_room(const struct connection *connection)
{
	return connection->out.len < OUT_HIGH_BYTES;
}

void connection_write(struct connection *connection)
{
	struct buffer *out = &connection->out;
	size_t done = 0;
	while (!connection->dead && done < out->len) {
		ssize_t sent = send(connection->fd, out->data + done, out->len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0)
			done += (size_t)sent;
		else if (sent < 0 && errno == EINTR)
			continue;
		else if (sent < 0 && errno == EAGAIN)
			break;
		else
			connection->dead = true;
	}
	if (done > 0)
		connection_due_in(connection, connection->proxy->options.idle_ms);
	buffer_consume(out, done);
}

void connection_answer(struct connection *connection, int status, const char *message, bool head_only)
{
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, 8192);
	if (message != NULL)
		model_error_write(&body, connection->proxy->options.api.protocol, status, message);
	CHECK(buffer_ok(&body));
	(void)buffer_appendf(&connection->out,
						 "HTTP/1.1 %d Kiln\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n", status,
						 head_only ? 0 : body.len,
						 connection->keep_alive ? "" : "Connection: close\r\n"); /* room: nothing else is under way */
	if (!head_only && body.len > 0)
		(void)buffer_append(&connection->out, body.data, body.len); /* as above */
	CHECK(buffer_ok(&connection->out));
	connection_write(connection);
}

/* ---- reading */

/* A request's head, when it is whole. False: not now. */
static bool take_head(struct connection *connection)
{
	struct buffer *in = &connection->in;
	struct request_head head;
	int status = 0;
	const char *why = NULL;
	if (in->len == 0 || !connection_has_room(connection) || proxy_is_held_up(connection->proxy))
		return false;
	ptrdiff_t size = request_head_parse(in->data, in->len, connection->head_seen, &head, &status, &why);
	if (size == 0) {
		if (connection->head_seen == 0)
			connection_due_in(connection, HEAD_MS);
		connection->head_seen = in->len;
		return false;
	}
	connection->head_seen = 0;
	if (size < 0) {
		connection->keep_alive = false;
		connection->finishing = true;
		connection_answer(connection, status, why, false);
		return false;
	}
	connection->keep_alive = head.keep_alive;
	if (head.is_connect) {
		tunnel_take(connection, &head, (size_t)size);
		return false;
	}
	/* The agent asks whether somebody is there (Claude Code does), and learns that it is. */
	if (head.method_len == 4 && memcmp(head.method, "HEAD", 4) == 0 && head.path_len == 1 && head.body_bytes == 0) {
		connection_answer(connection, 200, NULL, true);
		connection->finishing = !connection->keep_alive;
		buffer_consume(in, (size_t)size);
		return true;
	}
	connection->call = call_new(connection, &head);
	if (head.expects_continue && connection->call->refusal_status != 0) {
		/* Who waits for the word sends no body now; what comes all the same is not told from a request. */
		connection->call->body_done = true;
		connection->keep_alive = false;
	} else if (head.expects_continue) {
		(void)buffer_append_str(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n"); /* room: nothing is under way */
	}
	buffer_consume(in, (size_t)size);
	connection_due_in(connection, connection->call->body_done ? connection->proxy->options.idle_ms : BODY_MS);
	return true;
}

/* As far as it goes with what has been read. */
static void proceed(struct connection *connection)
{
	while (!connection->dead && !connection->finishing) {
		struct call *call = connection->call;
		if (call == NULL) {
			if (!take_head(connection))
				return;
			continue;
		}
		call_take_body(call, &connection->in);
		if (!call_is_over(call))
			return;
		call_free(call);
		connection->call = NULL;
		give_back(&connection->in); /* between requests it holds no memory to speak of */
		give_back(&connection->out);
		connection->finishing = connection->finishing || !connection->keep_alive;
		connection_due_in(connection, KEEP_ALIVE_MS);
	}
}

static void read_some(struct connection *connection)
{
	char *room = buffer_reserve(&connection->in, READ_BYTES);
	if (room == NULL)
		return; /* connection_events has not asked for it */
	ssize_t got = recv(connection->fd, room, READ_BYTES, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		connection->dead = true;
		return;
	}
	if (connection->lingering)
		return;
	buffer_commit(&connection->in, (size_t)got);
	if (connection->call != NULL && !connection->call->body_done)
		connection_due_in(connection, BODY_MS);
}

short connection_events(const struct connection *connection)
{
	short events = connection->out.len > 0 ? POLLOUT : 0;
	bool fits = connection->in.max - connection->in.len >= READ_BYTES;
	bool wants = connection->lingering ||
				 (!connection->finishing && fits &&
				  (connection->call == NULL ? !proxy_is_held_up(connection->proxy)
											: connection->call->body_done || call_wants_body(connection->call)));
	return (short)(events | (wants ? POLLIN : 0));
}

void connection_ready(struct connection *connection, short events)
{
	if ((events & POLLOUT) != 0)
		connection_write(connection);
	if ((events & ~POLLOUT) != 0)
		read_some(connection);
}

/* ---- time */

static void run_out_of_time(struct connection *connection)
{
	struct call *call = connection->call;
	if (call == NULL || call->head_sent || !call->body_done) {
		if (call != NULL)
			call_end(call, call->head_sent ? "timed out" : "its body did not come");
		connection->dead = true;
		return;
	}
	call_refuse(call, 504, "Kiln: the model's API has said nothing for %lld s",
				(long long)connection->proxy->options.idle_ms / 1000);
}

bool connection_tend(struct connection *connection, int64_t now_ms)
{
	struct call *call = connection->call;
	if (now_ms >= connection->due_ms)
		run_out_of_time(connection);
	if (connection->out.len > 0)
		connection_write(connection);
	if (call != NULL && !connection->dead)
		upstream_wake(call);
	proceed(connection);
	if (connection->finishing && !connection->lingering && connection->out.len == 0) {
		/* Closing over bytes that were not read would take back what was written. */
		(void)shutdown(connection->fd, SHUT_WR); /* it may be gone */
		buffer_clear(&connection->in);
		connection->lingering = true;
		connection_due_in(connection, LINGER_MS);
	}
	if (!connection->dead)
		return true;
	if (connection->call != NULL)
		call_end(connection->call, "the agent has hung up");
	connection_free(connection);
	return false;
}
