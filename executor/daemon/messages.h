/* The daemon's messages (docs/messages.md): their JSON, handed to the sender. Main thread only. */
#pragma once

#include "executor/daemon/attempts.h"
#include "executor/daemon/daemon.h"

void messages_accepted(struct daemon *daemon, const struct held *held);
/* From a PHASE frame; its acknowledgement goes back to the child. */
void messages_phase(struct daemon *daemon, const struct held *held, const cJSON *phase, uint64_t frame_id);
/* A LOG frame is a whole record. */
void messages_log(struct daemon *daemon, const struct held *held, const struct frame *frame);
/* worker.draining, worker.bye. */
void messages_worker(struct daemon *daemon, const char *type, enum sent_kind kind);
/* worker.hello. */
void messages_hello(struct daemon *daemon);
/* attempt.finished, from its stored text: under way from here on. */
void messages_finished(struct daemon *daemon, struct reported_item *item, const struct reported_text *text);

/* Appends attempt.finished's text. `end` has {outcome, published, closed, retryable, result}. */
void messages_write_finished(struct daemon *daemon, const struct fencing_token *token, const cJSON *end,
							 struct buffer *out);
/* Appends what hello and heartbeat say. */
void messages_write_state(struct daemon *daemon, struct buffer *out);
