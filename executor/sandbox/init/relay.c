#include "executor/sandbox/init/relay.h"

#include "executor/sandbox/model_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PAIRS 256 /* more wait in the backlog */
#define BACKLOG 256
#define BUFFER_BYTES 65536
#define RETRY_MS 5
#define FIXED_FDS 2

/* One direction: what was read from one end and not yet written to the other. */
struct flow {
	size_t at, len;
	bool ended;  /* nothing more comes */
	bool passed; /* and the other end knows */
	char data[BUFFER_BYTES];
};

enum end { INSIDE, OUTSIDE };

struct pair {
	int fds[2];           /* by enum end; OUTSIDE is -1 until the proxy's backlog has room */
	struct flow flows[2]; /* by the end that is read */
};

static int listener = -1;
static struct pair pairs[MAX_PAIRS]; /* the used ones come first */
static size_t pairs_len;
static bool waiting; /* some pair has no OUTSIDE yet */

int relay_open(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(SANDBOX_MODEL_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return listen(listener, BACKLOG);
}

static void pair_close(struct pair *pair)
{
	for (int end = INSIDE; end <= OUTSIDE; end++) {
		if (pair->fds[end] >= 0)
			(void)close(pair->fds[end]); /* a socket */
		pair->fds[end] = -1;
	}
}

/* False when there is nobody. */
static bool pair_connect(struct pair *pair)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SANDBOX_MODEL_SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		pair->fds[OUTSIDE] = fd;
		return true;
	}
	bool full = errno == EAGAIN;
	(void)close(fd); /* of no use */
	return full;
}

static void flow_start(struct flow *flow)
{
	flow->at = flow->len = 0;
	flow->ended = flow->passed = false;
}

static void take_connection(void)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only slower without */
	struct pair *pair = &pairs[pairs_len++];
	pair->fds[INSIDE] = fd;
	pair->fds[OUTSIDE] = -1;
	flow_start(&pair->flows[INSIDE]);
	flow_start(&pair->flows[OUTSIDE]);
	if (!pair_connect(pair))
		pair_close(pair);
}

/* Reads once from `from`, writes what there is to the other end. False when the pair is broken. */
static bool flow_move(struct pair *pair, enum end from)
{
	struct flow *flow = &pair->flows[from];
	int in = pair->fds[from], out = pair->fds[from == INSIDE ? OUTSIDE : INSIDE];
	if (flow->len == 0 && !flow->ended) {
		ssize_t got = recv(in, flow->data, sizeof(flow->data), 0);
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		flow->at = 0;
		flow->len = got > 0 ? (size_t)got : 0;
		flow->ended = got == 0;
	}
	if (flow->len > 0) {
		ssize_t sent = send(out, flow->data + flow->at, flow->len, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		flow->at += sent > 0 ? (size_t)sent : 0;
		flow->len -= sent > 0 ? (size_t)sent : 0;
	}
	if (flow->len == 0 && flow->ended && !flow->passed) {
		flow->passed = true;
		return shutdown(out, SHUT_WR) == 0;
	}
	return true;
}

static bool pair_move(struct pair *pair)
{
	if (pair->fds[OUTSIDE] < 0) {
		if (!pair_connect(pair))
			return false;
		if (pair->fds[OUTSIDE] < 0)
			return true;
	}
	return flow_move(pair, INSIDE) && flow_move(pair, OUTSIDE) &&
		   !(pair->flows[INSIDE].passed && pair->flows[OUTSIDE].passed);
}

/* What an end is waited for. */
static short events_of(const struct pair *pair, enum end end)
{
	const struct flow *reads = &pair->flows[end], *writes = &pair->flows[end == INSIDE ? OUTSIDE : INSIDE];
	return (short)((reads->len == 0 && !reads->ended ? POLLIN : 0) | (writes->len > 0 ? POLLOUT : 0));
}

static void add_pair(struct pollfd *ready, const struct pair *pair)
{
	bool connected = pair->fds[OUTSIDE] >= 0;
	for (int end = INSIDE; end <= OUTSIDE; end++) {
		short events = 0;
		if (connected)
			events = events_of(pair, (enum end)end);
		/* One that waits for nothing is left out: a hang-up would be ready all the time. */
		ready[end] = (struct pollfd){.fd = events != 0 ? pair->fds[end] : -1, .events = events};
	}
	waiting = waiting || !connected;
}

static void close_broken(void)
{
	for (size_t i = 0; i < pairs_len;) {
		if (pairs[i].fds[INSIDE] >= 0) {
			i++;
			continue;
		}
		pairs_len--;
		if (i < pairs_len)
			memcpy(&pairs[i], &pairs[pairs_len], sizeof(pairs[i]));
	}
}

void relay_turn(int signal_fd)
{
	static struct pollfd ready[FIXED_FDS + 2 * MAX_PAIRS];
	size_t count = pairs_len;
	waiting = false;
	ready[0] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
	ready[1] = (struct pollfd){.fd = pairs_len < MAX_PAIRS ? listener : -1, .events = POLLIN};
	for (size_t i = 0; i < count; i++)
		add_pair(&ready[FIXED_FDS + 2 * i], &pairs[i]);
	if (poll(ready, (nfds_t)(FIXED_FDS + 2 * count), waiting ? RETRY_MS : -1) < 0)
		return; /* EINTR */
	struct signalfd_siginfo info;
	while (ready[0].revents != 0 && read(signal_fd, &info, sizeof(info)) > 0) {
	}
	for (size_t i = 0; i < count; i++) {
		bool moves = pairs[i].fds[OUTSIDE] < 0 || ready[FIXED_FDS + 2 * i].revents != 0 ||
					 ready[FIXED_FDS + 2 * i + 1].revents != 0;
		if (moves && !pair_move(&pairs[i]))
			pair_close(&pairs[i]);
	}
	if (ready[1].revents != 0)
		take_connection();
	close_broken();
}
