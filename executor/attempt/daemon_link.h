/* The child's end of the socket to its daemon (frames.h). One thread. When the daemon is gone the child kills what it
 * started and exits: nothing that it does could be reported or may be published any more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/frames.h"

#define LINK_MAX_UNACKED 64

struct daemon_link {
	int fd; /* for poll: readable means call daemon_link_receive */
	struct buffer in, out;
	bool cancelled; /* the build is to be cancelled: stays set */
	uint64_t last_id;
	struct {
		uint64_t id;
		size_t bytes;
		bool log;
	} unacked[LINK_MAX_UNACKED];
	size_t unacked_len, unacked_bytes;
	uint64_t lease_id; /* the question that lease_left_ms answers */
	int64_t lease_left_ms;
};

void daemon_link_init(struct daemon_link *link, int fd);
void daemon_link_release(struct daemon_link *link);

/* Waits for the assignment, without a limit: a spare child waits for work. Its JSON goes into `data`. */
void daemon_link_wait_attempt(struct daemon_link *link, struct buffer *data);

/* Takes in what has come, without waiting. Returns `cancelled`. */
bool daemon_link_receive(struct daemon_link *link);

/* Sends a frame, waiting while the daemon does not read. Returns its id. `tracked`: the daemon will acknowledge it
 * (PHASE, LOG); then there must be room. */
uint64_t daemon_link_send(struct daemon_link *link, enum frame_type type, const void *data, size_t len, bool tracked);
/* Whether so much is unacknowledged that the sender of logs should make no more of them. */
bool daemon_link_is_full(const struct daemon_link *link);
/* Whether one more log frame may be sent all the same. */
bool daemon_link_has_room(const struct daemon_link *link);
/* Waits until the frame (0: any one, so that there is room) was acknowledged by Kafka. ERR_TIMEOUT; a cancel does not
 * end it. */
int daemon_link_wait_acked(struct daemon_link *link, uint64_t id, int64_t deadline_ms, struct error *err) MUST_CHECK;

/* The same for all LOG frames that were sent. */
int daemon_link_wait_logs_acked(struct daemon_link *link, int64_t deadline_ms, struct error *err) MUST_CHECK;

/* How long the lease is still good, by the daemon's count; 0 = it is not. */
int64_t daemon_link_ask_lease(struct daemon_link *link);
