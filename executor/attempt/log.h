/*
 * An attempt's log: lines of the agent's standard output and error and Kiln's own, collected into build.log records of
 * up to 64 KiB or 50 ms and sent to the daemon. What is not UTF-8 is made so; a line over 16 KiB becomes several.
 * Memory is bounded: when the daemon (Kafka) does not keep up, attempt_log_blocked says so, and the caller stops
 * reading from the agent. What it has read already may be more lines than there is room for: then whatever adds them
 * waits, up to ten minutes without an acknowledgement, and `meanwhile` is called. Then records are left out, until
 * there is room again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/model/fencing_token.h"
#include "executor/attempt/daemon_link.h"
#include "executor/secrets.h"

enum log_stream { STREAM_STDOUT, STREAM_STDERR, STREAM_KILN };

struct attempt_log {
	struct daemon_link *link;
	struct fencing_token token;
	struct buffer partial[2];      /* unfinished lines of stdout and stderr */
	struct buffer batch;           /* the lines of the next record, as JSON, comma-separated */
	int64_t next_line, batch_line; /* numbers from 1 */
	int64_t due_ms;                /* when the batch must go, INT64_MAX when it is empty */
	bool quiet;                    /* nothing is sent */
	bool in_vain;                  /* the last wait for room was */
	/* Called each 100 ms of a wait for room, for what must not wait so long; NULL: there is nothing. It adds nothing to
	 * this log. */
	void (*meanwhile)(void *ctx);
	void *meanwhile_ctx;
	int64_t meanwhile_ms;   /* when it is due */
	struct secrets secrets; /* what is shown nowhere: added by whoever learns of one */
};

void attempt_log_init(struct attempt_log *log, struct daemon_link *link, const struct fencing_token *token);
void attempt_log_release(struct attempt_log *log);

/* Bytes of the agent, cut anywhere, and masked already (agent_run.c): here a secret may be cut. */
void attempt_log_output(struct attempt_log *log, enum log_stream stream, const char *data, size_t len);
/* The end of a stream: an unfinished line becomes one. */
void attempt_log_end(struct attempt_log *log, enum log_stream stream);
/* A line of Kiln's own, which is masked here. */
void attempt_log_kiln(struct attempt_log *log, const char *format, ...) PRINTF_LIKE(2, 3);
/* Such a line that stands for bytes and lines of the agent's which are not in the log (`truncated`). */
void attempt_log_left_out(struct attempt_log *log, int64_t bytes, int64_t lines, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* Sends the batch when it is due (clock_boot_ms of now) and the log is not blocked; or anyway. */
void attempt_log_tick(struct attempt_log *log, int64_t now_ms);
void attempt_log_flush(struct attempt_log *log);
bool attempt_log_blocked(const struct attempt_log *log);
