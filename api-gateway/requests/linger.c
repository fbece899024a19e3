#include "api-gateway/requests/linger.h"

#include <fcntl.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"

struct lingering {
	struct lingers *lingers;
	h2o_socket_t *sock;
	h2o_timeout_entry_t expiry;
	size_t bytes_left;
};

static void finish(struct lingering *linger)
{
	h2o_timeout_unlink(&linger->expiry);
	linger->lingers->len--;
	h2o_socket_close(linger->sock);
	free(linger);
}

static void on_input(h2o_socket_t *sock, const char *err)
{
	struct lingering *linger = sock->data;
	size_t len = sock->input->size;
	if (err != NULL || len > linger->bytes_left) {
		finish(linger);
		return;
	}
	linger->bytes_left -= len;
	h2o_buffer_consume(&sock->input, len);
}

static void on_expiry(h2o_timeout_entry_t *entry)
{
	finish(CONTAINER_OF(entry, struct lingering, expiry));
}

void lingers_init(struct lingers *lingers, h2o_loop_t *loop, size_t max)
{
	*lingers = (struct lingers){.loop = loop, .max = max};
	h2o_timeout_init(loop, &lingers->timeout, LINGER_MS);
}

static void take(struct lingers *lingers, h2o_socket_t *sock)
{
	lingers->len++;
	struct lingering *linger = xcalloc(1, sizeof(*linger));
	linger->lingers = lingers;
	linger->bytes_left = LINGER_BYTES;
	linger->sock = sock;
	linger->sock->data = linger;
	linger->expiry.cb = on_expiry;
	h2o_timeout_link(lingers->loop, &lingers->timeout, &linger->expiry);
	h2o_socket_read_start(linger->sock, on_input);
}

static void shut(int fd)
{
	(void)shutdown(fd, SHUT_WR); /* the peer may have gone: reading will tell */
}

void linger_take(struct lingers *lingers, h2o_socket_t *sock)
{
	if (lingers->len == lingers->max) {
		h2o_socket_close(sock);
		return;
	}
	shut(h2o_socket_get_fd(sock));
	take(lingers, sock);
}

void linger_begin(struct lingers *lingers, h2o_req_t *h2o)
{
	h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
	if (sock == NULL || lingers->len == lingers->max)
		return;
	int fd = fcntl(h2o_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return; /* out of descriptors: the client may see a reset */
	if (sock->ssl == NULL)
		shut(fd);
	/* Else h2o is about to send the close_notify that is the end to a client of TLS. */
	take(lingers, h2o_evloop_socket_create(lingers->loop, fd, 0));
}
