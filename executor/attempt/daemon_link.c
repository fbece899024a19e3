#include "executor/attempt/daemon_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/trace.h"
#include "common/json/json.h"
#include "executor/descendants.h"

#define UNACKED_WINDOW_BYTES ((size_t)512 * 1024)
/* Above it nothing more is read from the agent. What was read last may be lines for more frames than there is room for
 * (64 KiB of newlines are 72, a line of a protocol may be a thousand): those wait (log.h). */
#define UNACKED_WINDOW_FRAMES 40
#define KEPT_FOR_PHASES 8
#define KILL_TIMEOUT_MS 10000
#define READ_BYTES 65536

void daemon_link_init(struct daemon_link *link, int fd)
{
	*link = (struct daemon_link){.fd = fd};
	buffer_init(&link->in, FRAME_MAX_BYTES + FRAME_HEADER_BYTES + READ_BYTES);
	buffer_init(&link->out, FRAME_MAX_BYTES + FRAME_HEADER_BYTES);
}

void daemon_link_release(struct daemon_link *link)
{
	buffer_release(&link->in);
	buffer_release(&link->out);
}

static NORETURN void daemon_is_gone(void)
{
	int status;
	bool ended;
	(void)descendants_kill(clock_boot_ms() + KILL_TIMEOUT_MS, 0, &status,
						   &ended); /* the next daemon kills what is left */
	_exit(1);
}

/* Reads what is there. False when nothing was. */
static bool read_some(struct daemon_link *link)
{
	char *room = buffer_reserve(&link->in, READ_BYTES);
	CHECK(room != NULL); /* a frame is taken out as soon as it is whole */
	ssize_t got = recv(link->fd, room, READ_BYTES, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0)
		daemon_is_gone();
	buffer_commit(&link->in, (size_t)got);
	return true;
}

static void take_ack(struct daemon_link *link, uint64_t id)
{
	for (size_t i = 0; i < link->unacked_len; i++) {
		if (link->unacked[i].id != id)
			continue;
		link->unacked_bytes -= link->unacked[i].bytes;
		link->unacked_len--;
		memmove(&link->unacked[i], &link->unacked[i + 1], (link->unacked_len - i) * sizeof(link->unacked[0]));
		return;
	}
}

static void take_lease(struct daemon_link *link, const struct frame *frame)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	link->lease_id = frame->id;
	link->lease_left_ms = json_parse(frame->data, frame->len, &tree, &err) == 0 ? json_get_int(tree, "left_ms", 0) : 0;
}

static void take_trace(const struct frame *frame)
{
	char id[TRACE_ID_SIZE];
	(void)snprintf(id, sizeof(id), "%.*s", (int)frame->len, frame->data); /* it is as long */
	log_set_field("trace_id", id);
}

/* Handles the next frame that is whole; an ATTEMPT goes into `attempt`. False when there is none. */
static bool take_frame(struct daemon_link *link, struct buffer *attempt)
{
	struct frame frame;
	int found = frame_peek(&link->in, &frame);
	CHECK(found >= 0);
	if (found == 0)
		return false;
	switch (frame.type) {
	case FRAME_TRACE:
		take_trace(&frame);
		break;
	case FRAME_ATTEMPT:
		CHECK(attempt != NULL && buffer_append(attempt, frame.data, frame.len) == 0); /* once, first */
		break;
	case FRAME_CANCEL:
		link->cancelled = true;
		break;
	case FRAME_ACK:
		take_ack(link, frame.id);
		break;
	case FRAME_LEASE:
		take_lease(link, &frame);
		break;
	case FRAME_PHASE:
	case FRAME_LOG:
	case FRAME_ASK_LEASE:
	case FRAME_RESULT:
	case FRAME_PUBLISHING:
	case FRAME_COMMITTING:
		CHECK(false); /* they go the other way */
	}
	frame_consume(&link->in, &frame);
	return true;
}

bool daemon_link_receive(struct daemon_link *link)
{
	while (read_some(link)) {
		while (take_frame(link, NULL)) {
		}
	}
	return link->cancelled;
}

/* Waits for something to read (and to write, when asked). */
static void wait_ready(const struct daemon_link *link, bool writing, int64_t deadline_ms)
{
	struct pollfd ready = {.fd = link->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
	int timeout_ms = deadline_ms < 0 ? -1 : clock_left_ms(deadline_ms);
	CHECK(poll(&ready, 1, timeout_ms) >= 0 || errno == EINTR);
}

void daemon_link_wait_attempt(struct daemon_link *link, struct buffer *data)
{
	while (data->len == 0) {
		wait_ready(link, false, -1);
		while (data->len == 0 && read_some(link)) {
			while (data->len == 0 && take_frame(link, data)) {
			}
		}
	}
}

uint64_t daemon_link_send(struct daemon_link *link, enum frame_type type, const void *data, size_t len, bool tracked)
{
	uint64_t id = ++link->last_id;
	CHECK(link->out.len == 0 && frame_append(&link->out, type, id, data, len) == 0);
	if (tracked) {
		CHECK(link->unacked_len < LINK_MAX_UNACKED);
		link->unacked[link->unacked_len].id = id;
		link->unacked[link->unacked_len].log = type == FRAME_LOG;
		link->unacked[link->unacked_len++].bytes = len;
		link->unacked_bytes += len;
	}
	while (link->out.len > 0) {
		ssize_t sent = send(link->fd, link->out.data, link->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			buffer_consume(&link->out, (size_t)sent);
		} else if (errno == EAGAIN || errno == EINTR) {
			wait_ready(link, true, -1);      /* the daemon reads while it lives */
			(void)daemon_link_receive(link); /* a cancel waits for the caller */
		} else {
			daemon_is_gone();
		}
	}
	return id;
}

bool daemon_link_is_full(const struct daemon_link *link)
{
	return link->unacked_bytes >= UNACKED_WINDOW_BYTES || link->unacked_len >= UNACKED_WINDOW_FRAMES;
}

bool daemon_link_has_room(const struct daemon_link *link)
{
	return link->unacked_len < LINK_MAX_UNACKED - KEPT_FOR_PHASES;
}

static bool is_acked(const struct daemon_link *link, uint64_t id)
{
	if (id == 0)
		return daemon_link_has_room(link);
	for (size_t i = 0; i < link->unacked_len; i++) {
		if (link->unacked[i].id == id)
			return false;
	}
	return true;
}

int daemon_link_wait_acked(struct daemon_link *link, uint64_t id, int64_t deadline_ms, struct error *err)
{
	(void)daemon_link_receive(link); /* a cancel waits for the caller */
	while (!is_acked(link, id)) {
		if (clock_boot_ms() >= deadline_ms)
			return error_set(err, ERR_TIMEOUT, "Kafka has not acknowledged in time");
		wait_ready(link, false, deadline_ms);
		(void)daemon_link_receive(link); /* as above */
	}
	return 0;
}

int daemon_link_wait_logs_acked(struct daemon_link *link, int64_t deadline_ms, struct error *err)
{
	for (size_t i = 0; i < link->unacked_len;) {
		if (!link->unacked[i].log) {
			i++;
			continue;
		}
		if (daemon_link_wait_acked(link, link->unacked[i].id, deadline_ms, err) < 0)
			return -1;
		i = 0; /* others may have been acknowledged meanwhile */
	}
	return 0;
}

int64_t daemon_link_ask_lease(struct daemon_link *link)
{
	uint64_t id = daemon_link_send(link, FRAME_ASK_LEASE, NULL, 0, false);
	while (link->lease_id != id) {
		wait_ready(link, false, -1);     /* the daemon answers or is gone */
		(void)daemon_link_receive(link); /* a cancel waits for the caller */
	}
	return link->lease_left_ms;
}
