/*
 * An attempt's log: lines of the agent's standard output and error and Kiln's own, collected into build.log records of
 * up to 64 KiB or 50 ms and sent to the daemon. What is not UTF-8 is made so; a line over 16 KiB becomes several.
 * Memory is bounded: when the daemon (Kafka) does not keep up, attempt_log_blocked says so, and the caller stops
 * reading from the agent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "executor/attempt/daemon_link.h"
#include "executor/token.h"

/* What is never shown; of more than LOG_MAX_SECRETS the oldest is forgotten. */
#define LOG_MAX_SECRETS 4
struct secrets {
	char *texts[LOG_MAX_SECRETS];
	size_t len;
};

enum log_stream { STREAM_STDOUT, STREAM_STDERR, STREAM_KILN };

struct attempt_log {
	struct daemon_link *link;
	struct token token;
	struct buffer partial[2];      /* unfinished lines of stdout and stderr */
	struct buffer batch;           /* the lines of the next record, as JSON, comma-separated */
	int64_t next_line, batch_line; /* numbers from 1 */
	int64_t due_ms;                /* when the batch must go, INT64_MAX when it is empty */
	bool quiet;                    /* nothing is sent */
	struct secrets secrets;        /* shown as [masked] */
};

void attempt_log_init(struct attempt_log *log, struct daemon_link *link, const struct token *token);
void attempt_log_release(struct attempt_log *log);

/* Bytes of the agent, cut anywhere. */
void attempt_log_output(struct attempt_log *log, enum log_stream stream, const char *data, size_t len);
/* The end of a stream: an unfinished line becomes one. */
void attempt_log_end(struct attempt_log *log, enum log_stream stream);
/* A line of Kiln's own. */
void attempt_log_kiln(struct attempt_log *log, const char *format, ...) PRINTF_LIKE(2, 3);

/* What is never shown, in any line from now on; copied. One more secret adds to the others. A secret that a line of
 * more than 16 KiB has across its cut, or that is printed in another spelling, cannot be found. */
void attempt_log_mask(struct attempt_log *log, const char *secret);
/* Appends valid UTF-8 with every occurrence of the secrets masked. -1 when the buffer is full. */
int mask_append(struct buffer *out, const char *text, size_t len, const struct secrets *secrets) MUST_CHECK;

/* Sends the batch when it is due (clock_boot_ms of now) and the log is not blocked; or anyway. */
void attempt_log_tick(struct attempt_log *log, int64_t now_ms);
void attempt_log_flush(struct attempt_log *log);
bool attempt_log_blocked(const struct attempt_log *log);
