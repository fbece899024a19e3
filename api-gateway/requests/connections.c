#include "api-gateway/requests/connections.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "api-gateway/http/cors.h"
#include "api-gateway/http/fields.h"
#include "api-gateway/http/framing.h"
#include "api-gateway/http/problem.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/http/tls.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/str.h"

#define UNACKNOWLEDGED_MS 30000 /* TCP_USER_TIMEOUT: a client that vanished while an answer is under way */
#define SWEEP_MAX_MS 1000
#define SWEEP_MIN_MS 25
#define LARGE_HEAD_MS 1000   /* one that is too large may be about to end: dispatch.c has the better answer then */
#define ROOM_AT_ONCE 64      /* connections that make room in one go */
#define ROOM_AGE_MS 1000     /* rather those that have waited that long */
#define ROOM_YOUNG_MAX 8     /* when there are none: so many of the others */
#define DESCRIPTORS_ELSE 128 /* Kafka, the ops port, loops, files; Postgres and lingers come on top */

/* Of an answer that is written here: more than h2o takes of a request's, whose origin may come back in it. */
#define HEAD_MAX_BYTES ((size_t)1024 * 1024)

static const char full_house[] = "The gateway has as many connections open as it may.";

/* What h2o waits for. */
enum phase { PHASE_HEAD, PHASE_BODY, PHASE_IDLE, PHASE_BUSY };

/* One open client connection. */
struct connection {
	struct list_node node;
	struct loop *loop;
	h2o_socket_t *sock;
	bool busy;   /* as connections_close_idle found it */
	bool shaken; /* h2o has had it among its HTTP connections: TLS's handshake, if any, is over */
	bool cut;
	enum phase phase;     /* as it was last looked at */
	int64_t since_ms;     /* when it was first found so */
	size_t bytes_written; /* then; more: another request has been answered since */
	SSL_CTX *tls;         /* a reference; NULL: plain */
};

static struct metric open_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_http_connections", .help = "Open client connections."};

static struct metric unread_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_http_unread_bytes", .help = "Memory for requests that are not whole yet."};

#define CUT(text)                                                                                                      \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = "kiln_http_cut_connections_total",                                             \
		.help = "Connections that the gateway ended by itself, and for want of what.", .labels = "reason=\"" text "\"" \
	}
enum cut { CUT_HEAD, CUT_BODY, CUT_IDLE, CUT_WRITE, CUT_ROOM, CUT_REFUSED, CUT_LARGE, CUT_MEMORY, CUT_COUNT };
static struct metric cut_total[CUT_COUNT] = {CUT("head"), CUT("body"),    CUT("idle"),       CUT("write"),
											 CUT("room"), CUT("refused"), CUT("large_head"), CUT("memory")};

void connections_register_metrics(void)
{
	metric_register(&open_gauge);
	metric_register(&unread_gauge);
	for (size_t i = 0; i < CUT_COUNT; i++)
		metric_register(&cut_total[i]);
}

size_t connections_allowed(const struct gateway_config *config)
{
	size_t wanted = (size_t)config->max_connections;
	size_t others = DESCRIPTORS_ELSE + LINGERS_MAX + (size_t)config->workers;
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted + others) {
		limit.rlim_cur =
			limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted + others ? limit.rlim_max : wanted + others;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* looked at next */
		CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	}
	size_t have = limit.rlim_cur == RLIM_INFINITY ? wanted + others : (size_t)limit.rlim_cur;
	if (have >= wanted + others)
		return wanted;
	size_t allowed = have > 2 * others ? have - others : have / 2;
	log_warn("the limit of open files allows fewer connections than KILN_MAX_CONNECTIONS", "limit",
			 LOG_INT((int64_t)have), "connections", LOG_INT((int64_t)allowed), NULL);
	return allowed > 0 ? allowed : 1;
}

static void on_close(void *data)
{
	struct connection *connection = data;
	struct loop *loop = connection->loop;
	list_remove(&connection->node);
	loop->connections.leaving -= connection->cut;
	SSL_CTX_free(connection->tls);
	free(connection);
	loop->connections.len--;
	metric_add(&open_gauge, -1);
}

static struct connection *connection_of(h2o_req_t *h2o, h2o_socket_t **ret_sock)
{
	*ret_sock = h2o->conn->callbacks->get_socket(h2o->conn);
	return (*ret_sock)->on_close.data;
}

/* The head's end: what lets a script read the answer, as far as the head of its request has been read. */
static void write_cors(struct loop *loop, h2o_req_t *h2o, struct buffer *head)
{
	struct slice origin = {NULL, 0};
	struct cors_field fields[CORS_FIELDS_MAX];
	if (h2o != NULL && h2o->version != 0)
		origin = field_by_name(h2o, "origin");
	size_t len = cors_fields(loop->gateway->cors, origin.data, origin.len, fields);
	for (size_t i = 0; i < len; i++)
		CHECK(buffer_appendf(head, "%s: %.*s\r\n", fields[i].name, (int)fields[i].value_len, fields[i].value) == 0);
	CHECK(buffer_append_str(head, "\r\n") == 0);
}

/* To a client whose request (NULL: of none has anything come) is not whole: nothing else is being written to it. */
static void send_problem(struct loop *loop, h2o_socket_t *sock, h2o_req_t *h2o, enum problem problem,
						 const char *detail)
{
	if (sock->ssl != NULL)
		return;
	uint8_t random[16];
	char id[2 * sizeof(random) + 1];
	loop_random(loop, random, sizeof(random));
	hex_encode(random, sizeof(random), id);
	struct answer answer;
	answer_init(&answer);
	problem_write(&answer, problem, id, NULL, detail);
	CLEANUP(buffer_release_p) struct buffer head;
	buffer_init(&head, HEAD_MAX_BYTES);
	CHECK(buffer_appendf(&head,
						 "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\ncontent-type: %s\r\n"
						 "cache-control: no-store\r\nx-request-id: %s\r\n",
						 answer.status, answer_phrase(answer.status), answer.body.len, answer.content_type, id) == 0);
	if (answer.retry_after_s > 0)
		CHECK(buffer_appendf(&head, "retry-after: %lld\r\n", (long long)answer.retry_after_s) == 0);
	write_cors(loop, h2o, &head);
	struct iovec parts[] = {{head.data, head.len}, {answer.body.data, answer.body.len}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
	/* What does not fit is for a client that does not read. */
	(void)sendmsg(h2o_socket_get_fd(sock), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	answer_release(&answer);
}

/* h2o closes it when it finds its input at the end. */
static void cut(struct connection *connection, enum cut reason)
{
	connection->loop->connections.leaving += !connection->cut;
	connection->cut = true;
	metric_add(&cut_total[reason], 1);
	(void)shutdown(h2o_socket_get_fd(connection->sock), SHUT_RDWR); /* may be gone already */
}

static enum phase phase_of(const h2o_req_t *h2o, const h2o_socket_t *sock)
{
	/* h2o's own refusals have a status and no path. */
	if (h2o->pathconf != NULL || h2o->res.status != 0)
		return PHASE_BUSY;
	if (h2o->version != 0)
		return PHASE_BODY;
	return sock->input->size > 0 || sock->bytes_written == 0 ? PHASE_HEAD : PHASE_IDLE;
}

static void cut_late(struct connection *connection, h2o_req_t *h2o)
{
	struct loop *loop = connection->loop;
	h2o_socket_t *sock = connection->sock;
	if (connection->phase == PHASE_BODY) {
		send_problem(loop, sock, h2o, PROBLEM_REQUEST_TIMEOUT, "The request's body did not come in time.");
		cut(connection, CUT_BODY);
	} else if (sock->input->size > 0) {
		send_problem(loop, sock, h2o, PROBLEM_REQUEST_TIMEOUT, "The request's head did not come in time.");
		cut(connection, CUT_HEAD);
	} else {
		cut(connection, CUT_IDLE); /* a client that has asked nothing expects no answer */
	}
}

static int64_t limit_of(const struct loop *loop, enum phase phase)
{
	const struct gateway_config *config = loop->gateway->config;
	switch (phase) {
	case PHASE_HEAD:
		return config->header_timeout_ms;
	case PHASE_BODY:
		return config->body_timeout_ms;
	case PHASE_IDLE:
		return config->idle_timeout_ms;
	case PHASE_BUSY:
		break;
	}
	return INT64_MAX;
}

static struct connection *find_phase(h2o_req_t *h2o, h2o_socket_t **ret_sock, int64_t now_ms)
{
	struct connection *connection = connection_of(h2o, ret_sock);
	enum phase phase = phase_of(h2o, *ret_sock);
	connection->shaken = true;
	if (phase != connection->phase || (*ret_sock)->bytes_written != connection->bytes_written) {
		connection->phase = phase;
		connection->bytes_written = (*ret_sock)->bytes_written;
		connection->since_ms = now_ms;
	}
	return connection;
}

/* A request that is not whole yet. */
struct unread {
	struct connection *connection;
	h2o_req_t *h2o;
	size_t bytes;
};

struct sweep {
	int64_t now_ms;
	struct unread *unread; /* of as many connections as there are */
	size_t unread_len;
};

static int look_at(h2o_req_t *h2o, void *data)
{
	struct sweep *sweep = data;
	int64_t now_ms = sweep->now_ms;
	h2o_socket_t *sock;
	struct connection *connection = find_phase(h2o, &sock, now_ms);
	if (connection->cut)
		return 0;
	enum phase phase = connection->phase;
	int64_t age_ms = now_ms - connection->since_ms;
	if (phase == PHASE_HEAD && sock->input->size > FRAMING_HEAD_MAX && age_ms >= LARGE_HEAD_MS) {
		send_problem(connection->loop, sock, h2o, PROBLEM_HEADER_TOO_LARGE, framing_detail(FRAMING_LARGE_HEAD));
		cut(connection, CUT_LARGE);
	} else if (age_ms >= limit_of(connection->loop, phase)) {
		cut_late(connection, h2o);
	} else if (phase != PHASE_BUSY && sock->input->size > 0) {
		CHECK(sweep->unread_len < connection->loop->connections.len);
		sweep->unread[sweep->unread_len++] = (struct unread){connection, h2o, sock->input->size};
	}
	return 0;
}

static void for_each_request(struct loop *loop, int (*visit)(h2o_req_t *h2o, void *data), void *data)
{
	/* Whether a visit has ended it early is in `data`. */
	(void)loop->ctx.globalconf->http1.callbacks.foreach_request(&loop->ctx, visit, data);
}

static int by_size(const void *a, const void *b)
{
	const struct unread *left = a, *right = b;
	return (left->bytes < right->bytes) - (left->bytes > right->bytes);
}

static void set_unread(struct loop *loop, size_t bytes)
{
	metric_add(&unread_gauge, (int64_t)bytes - (int64_t)loop->connections.unread);
	loop->connections.unread = bytes;
}

static bool others_have_larger(struct loop *loop, size_t bytes)
{
	for (struct loop *other = loop_next(loop); other != loop; other = loop_next(other)) {
		if (atomic_load(&other->connections.largest_unread) > bytes)
			return true;
	}
	return false;
}

/* The largest of all loops go first: those are the fewest. Another loop's go at its own next sweep, for which there is
 * an eighth of room; beyond that each loop cuts what it has. */
static void limit_unread(struct loop *loop, struct unread *unread, size_t len)
{
	size_t bytes = 0, largest = 0, next = 0;
	for (size_t i = 0; i < len; i++) {
		bytes += unread[i].bytes;
		largest = unread[i].bytes > largest ? unread[i].bytes : largest;
	}
	set_unread(loop, bytes);
	atomic_store(&loop->connections.largest_unread, largest);
	int64_t max = loop->gateway->config->max_unread_bytes;
	if (unread_gauge.value <= max)
		return;
	qsort(unread, len, sizeof(*unread), by_size);
	for (; next < len && unread_gauge.value > max; next++) {
		if (unread_gauge.value <= max + max / 8 && others_have_larger(loop, unread[next].bytes))
			break;
		send_problem(loop, unread[next].connection->sock, unread[next].h2o, PROBLEM_OVERLOADED,
					 "The gateway has as much of unfinished requests in memory as it may.");
		cut(unread[next].connection, CUT_MEMORY);
		set_unread(loop, loop->connections.unread - unread[next].bytes);
	}
	atomic_store(&loop->connections.largest_unread, next < len ? unread[next].bytes : 0);
}

static void on_sweep(h2o_timeout_entry_t *entry)
{
	struct loop *loop = CONTAINER_OF(entry, struct loop, connections.sweep);
	CLEANUP(free_p) struct unread *unread = xcalloc(loop->connections.len + 1, sizeof(*unread));
	struct sweep sweep = {.now_ms = clock_boot_ms(), .unread = unread};
	for_each_request(loop, look_at, &sweep);
	limit_unread(loop, unread, sweep.unread_len);
	if (loop->connections.len > 0)
		h2o_timeout_link(loop->ctx.loop, &loop->connections.sweep_timeout, entry);
}

void connections_init(struct loop *loop)
{
	const struct gateway_config *config = loop->gateway->config;
	struct connections *connections = &loop->connections;
	list_init(&connections->all);
	connections->len = connections->leaving = connections->unread = 0;
	int64_t shortest_ms = config->header_timeout_ms;
	shortest_ms = config->body_timeout_ms < shortest_ms ? config->body_timeout_ms : shortest_ms;
	shortest_ms = config->idle_timeout_ms < shortest_ms ? config->idle_timeout_ms : shortest_ms;
	int64_t every_ms = shortest_ms / 4;
	every_ms = every_ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : every_ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : every_ms;
	h2o_timeout_init(loop->ctx.loop, &connections->sweep_timeout, (uint64_t)every_ms);
	h2o_timeout_init(loop->ctx.loop, &connections->write_timeout, (uint64_t)config->write_timeout_ms);
	connections->sweep.cb = on_sweep;
	size_t lingers_max = LINGERS_MAX / loop->all->len;
	lingers_init(&connections->lingers, loop->ctx.loop, lingers_max > 0 ? lingers_max : 1);
}

/* Who makes room, in this order. */
enum room { ROOM_HANDSHAKE, ROOM_WAITING, ROOM_BODY, ROOM_YOUNG_HANDSHAKE, ROOM_YOUNG, ROOM_KINDS };

struct offers {
	int64_t now_ms;
	struct offer {
		struct {
			struct connection *connection;
			h2o_req_t *h2o; /* NULL: in a handshake */
		} of[ROOM_AT_ONCE];
		size_t len, max;
	} kinds[ROOM_KINDS];
};

static void offer(struct offers *offers, enum room kind, struct connection *connection, h2o_req_t *h2o)
{
	struct offer *offer = &offers->kinds[kind];
	if (offer->len == offer->max)
		return;
	offer->of[offer->len].connection = connection;
	offer->of[offer->len++].h2o = h2o;
}

/* h2o has its connections in the order of their acceptance. */
static int find_offer(h2o_req_t *h2o, void *data)
{
	struct offers *offers = data;
	h2o_socket_t *sock;
	struct connection *connection = find_phase(h2o, &sock, offers->now_ms);
	enum phase phase = connection->phase;
	bool is_old = offers->now_ms - connection->since_ms >= ROOM_AGE_MS;
	if (connection->cut || phase == PHASE_BUSY || (phase == PHASE_BODY && !is_old))
		return 0;
	offer(offers, phase == PHASE_BODY ? ROOM_BODY : is_old ? ROOM_WAITING : ROOM_YOUNG, connection, h2o);
	return 0;
}

/* With those that leave gone; those of other loops count as long as they are there. */
static bool is_full(const struct loop *loop)
{
	return open_gauge.value - (int64_t)loop->connections.leaving >= (int64_t)loop->all->connections_max;
}

/* A connection in TLS's handshake is in none of h2o's lists yet. */
static void find_handshakes(struct loop *loop, struct offers *offers)
{
	LIST_FOR_EACH (node, &loop->connections.all) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		if (connection->shaken || connection->cut)
			continue;
		offer(offers, offers->now_ms - connection->since_ms >= ROOM_AGE_MS ? ROOM_HANDSHAKE : ROOM_YOUNG_HANDSHAKE,
			  connection, NULL);
	}
}

/* Ends some that wait for TLS, a request or its body, the oldest first. A young one is taken last: it may be somebody
 * for whom room was made just now. False: none does. */
static bool make_room(struct loop *loop)
{
	struct offers offers = {
		.now_ms = clock_boot_ms(),
		.kinds = {[ROOM_HANDSHAKE].max = ROOM_AT_ONCE,
				  [ROOM_WAITING].max = ROOM_AT_ONCE,
				  [ROOM_BODY].max = ROOM_AT_ONCE,
				  [ROOM_YOUNG_HANDSHAKE].max = ROOM_YOUNG_MAX,
				  [ROOM_YOUNG].max = ROOM_YOUNG_MAX},
	};
	for_each_request(loop, find_offer, &offers);
	if (loop->gateway->tls != NULL)
		find_handshakes(loop, &offers);
	for (size_t kind = 0; kind < ROOM_KINDS; kind++) {
		const struct offer *offer = &offers.kinds[kind];
		for (size_t i = 0; i < offer->len; i++) {
			if (kind == ROOM_BODY)
				send_problem(loop, offer->of[i].connection->sock, offer->of[i].h2o, PROBLEM_OVERLOADED, full_house);
			cut(offer->of[i].connection, CUT_ROOM);
		}
		if (offer->len > 0)
			return true;
	}
	return false;
}

static void refuse(struct loop *loop, h2o_socket_t *sock)
{
	metric_add(&cut_total[CUT_REFUSED], 1);
	if (loop->gateway->tls != NULL) {
		h2o_socket_close(sock);
		return;
	}
	send_problem(loop, sock, NULL, PROBLEM_OVERLOADED, full_house);
	linger_take(&loop->connections.lingers, sock);
}

void connection_take(struct loop *loop, h2o_socket_t *sock, size_t asked)
{
	struct connections *connections = &loop->connections;
	if (is_full(loop) && !make_room(loop)) {
		if (!handover_send(loop, sock, asked))
			refuse(loop, sock);
		return;
	}
	struct connection *connection = xcalloc(1, sizeof(*connection));
	connection->loop = loop;
	connection->sock = sock;
	connection->since_ms = clock_boot_ms();
	list_append(&connections->all, &connection->node);
	connections->len++;
	metric_add(&open_gauge, 1);
	unsigned timeout_ms = UNACKNOWLEDGED_MS;
	int fd = h2o_socket_get_fd(sock), on = 1;
	/* Without these a vanished client is only noticed later. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	sock->on_close.cb = on_close;
	sock->on_close.data = connection;
	if (!h2o_timeout_is_linked(&connections->sweep))
		h2o_timeout_link(loop->ctx.loop, &connections->sweep_timeout, &connections->sweep);
	connection->tls = loop->gateway->tls != NULL ? tls_context(loop->gateway->tls) : NULL;
	loop->accept_ctx.ssl_ctx = connection->tls;
	h2o_accept(&loop->accept_ctx, sock);
}

void connection_taken_over(h2o_socket_t *sock)
{
	struct connection *connection = sock->on_close.data;
	connection->shaken = true;
}

bool connection_drops(struct loop *loop, h2o_req_t *h2o)
{
	h2o_socket_t *sock;
	if (loop->connections.leaving == 0 || !connection_of(h2o, &sock)->cut)
		return false;
	static h2o_generator_t generator = {NULL, NULL};
	h2o->http1_is_persistent = 0;
	h2o->res.status = 408; /* goes nowhere: h2o ends a connection with an answer only */
	h2o->res.reason = answer_phrase(408);
	h2o->res.content_length = 0;
	h2o_start_response(h2o, &generator);
	h2o_send(h2o, NULL, 0, H2O_SEND_STATE_FINAL);
	return true;
}

void connection_reset(h2o_req_t *h2o)
{
	h2o_socket_t *sock;
	struct connection *connection = connection_of(h2o, &sock);
	h2o->http1_is_persistent = 0;
	/* What lies in the kernel goes as well. */
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	(void)setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	cut(connection, CUT_WRITE);
}

/* A connection whose request h2o is working on: it ends with the answer. */
static int mark_busy(h2o_req_t *h2o, void *data)
{
	(void)data;
	if (h2o->pathconf == NULL)
		return 0; /* between requests */
	h2o->http1_is_persistent = 0;
	h2o_socket_t *sock;
	connection_of(h2o, &sock)->busy = true;
	return 0;
}

/* All others end now: h2o closes them when their input ends. */
void connections_close_idle(struct loop *loop)
{
	LIST_FOR_EACH (node, &loop->connections.all)
		LIST_ITEM(node, struct connection, node)->busy = false;
	for_each_request(loop, mark_busy, NULL);
	LIST_FOR_EACH (node, &loop->connections.all) {
		struct connection *connection = LIST_ITEM(node, struct connection, node);
		if (!connection->busy)
			(void)shutdown(h2o_socket_get_fd(connection->sock), SHUT_RD); /* may be gone already */
	}
}
