#include "api-gateway/requests/handover.h"

#include <fcntl.h>

#include "api-gateway/requests/loop.h"
#include "common/base/alloc.h"

struct handover {
	h2o_multithread_message_t message;
	int fd;
	size_t asked;
};

static void on_handover(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	struct loop *loop = CONTAINER_OF(receiver, struct loop, handovers.receiver);
	for (h2o_linklist_t *link = messages->next, *next; link != messages; link = next) {
		struct handover *handover = CONTAINER_OF(link, struct handover, message.link);
		next = link->next;
		h2o_linklist_unlink(link);
		atomic_fetch_sub(&loop->handovers.len, 1);
		loop->handovers.take(loop, h2o_evloop_socket_create(loop->ctx.loop, handover->fd, 0), handover->asked);
		free(handover);
	}
}

void handovers_init(struct loop *loop, handover_take_fn *take)
{
	loop->handovers.take = take;
	h2o_multithread_register_receiver(loop->ctx.queue, &loop->handovers.receiver, on_handover);
}

bool handover_send(struct loop *loop, h2o_socket_t *sock, size_t asked)
{
	if (asked + 1 >= loop->all->len)
		return false;
	struct loop *next = loop_next(loop);
	if (atomic_fetch_add(&next->handovers.len, 1) >= HANDOVERS_MAX) {
		atomic_fetch_sub(&next->handovers.len, 1);
		return false;
	}
	/* A socket of h2o belongs to its loop: only the descriptor can go. */
	int fd = fcntl(h2o_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		atomic_fetch_sub(&next->handovers.len, 1);
		return false;
	}
	struct handover *handover = xcalloc(1, sizeof(*handover));
	handover->fd = fd;
	handover->asked = asked + 1;
	h2o_socket_close(sock);
	h2o_multithread_send_message(&next->handovers.receiver, &handover->message);
	return true;
}
