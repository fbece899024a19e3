#include "api-gateway/linger.h"

#include <fcntl.h>

#include "common/base/alloc.h"
#include "common/base/compiler.h"

struct lingering {
	h2o_socket_t *sock;
	h2o_timeout_entry_t expiry;
	size_t bytes_left;
};

static void finish(struct lingering *linger)
{
	h2o_timeout_unlink(&linger->expiry);
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

void linger_begin(h2o_loop_t *loop, h2o_timeout_t *timeout, h2o_req_t *h2o)
{
	h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
	int fd = sock != NULL ? fcntl(h2o_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0)
		return;                  /* out of descriptors: the client may see a reset */
	(void)shutdown(fd, SHUT_WR); /* the peer may have gone: reading will tell */
	struct lingering *linger = xcalloc(1, sizeof(*linger));
	linger->bytes_left = LINGER_BYTES;
	linger->sock = h2o_evloop_socket_create(loop, fd, 0);
	linger->sock->data = linger;
	linger->expiry.cb = on_expiry;
	h2o_timeout_link(loop, timeout, &linger->expiry);
	h2o_socket_read_start(linger->sock, on_input);
}
