/*
 * What the daemon and an attempt's child say to each other over their socketpair: frames of a fixed header (length,
 * type, id) and JSON.
 *
 * To the child:
 *   TRACE      the id of the trace that the assignment is part of, for the log; before it, if there is one
 *   ATTEMPT    the assignment; once, first of the others
 *   CANCEL
 *   ACK        Kafka has acknowledged the frame with that id
 *   LEASE      the answer to ASK_LEASE with that id: `{"left_ms": n}`; 0: do not push
 * To the daemon:
 *   PHASE      `{phase, base_sha, branch, commit_sha}`
 *   COMMITTING the artifacts are kept, and the time of a commit begins: in the phase `committing`
 *   PUBLISHING from here on the remote, or the artifact store for what is not pushed, decides how long it takes, and the
 *              child has the deadline; before the phase `pushing`, which waits for what the remote has
 *   LOG        a whole build.log record
 *   ASK_LEASE
 *   RESULT     what attempt.finished carries of it; the child's last frame
 *
 * Ids are the child's, from 1, ascending.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

enum frame_type {
	FRAME_ATTEMPT = 1,
	FRAME_CANCEL,
	FRAME_ACK,
	FRAME_LEASE,
	FRAME_PHASE,
	FRAME_LOG,
	FRAME_ASK_LEASE,
	FRAME_RESULT,
	FRAME_TRACE,
	FRAME_PUBLISHING,
	FRAME_COMMITTING,
};

/* The longest payload: an assignment or result that a Kafka record can hold, with room for escapes. */
#define FRAME_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define FRAME_HEADER_BYTES 16

struct frame {
	enum frame_type type;
	uint64_t id;
	const char *data; /* in the buffer it was found in */
	size_t len;
};

/* 0, or -1 when the buffer's maximum is reached (nothing is appended). */
int frame_append(struct buffer *out, enum frame_type type, uint64_t id, const void *data, size_t len) MUST_CHECK;
/* The first frame in `in`: 1 found, 0 more bytes are needed, -1 no frame (unknown type, too long). */
int frame_peek(const struct buffer *in, struct frame *ret_frame) MUST_CHECK;
/* Drops the frame that frame_peek found. */
void frame_consume(struct buffer *in, const struct frame *frame);
