/*
 * One line per answered request, in log.h's form, at level info. Lines are collected per loop and written by one thread
 * a few times a second, so that a slow reader of the log never holds a loop up; what does not fit meanwhile is dropped
 * and counted.
 */
#pragma once

#include <stdint.h>

#include "api-gateway/gateway.h"

struct access_log; /* one per loop */

struct access_line {
	const char *method, *path; /* as sent by the client: escaped here */
	size_t method_len, path_len;
	int status;
	uint64_t bytes;
	int64_t duration_us;
	const char *address; /* the client's; "": not known */
	const char *request_id;
	const char *trace_id; /* TRACE_ID_LEN characters */
	const char *token_id; /* or NULL */
	const char *build_id; /* or NULL */
};

/* The thread that writes. `count` logs; with on=false they take lines and forget them. */
struct access_log *access_logs_start(size_t count, bool on, const struct config_common *config);
struct access_log *access_log_at(struct access_log *logs, size_t index);
/* Writes what is left, ends the thread and frees the logs. Takes NULL when none were started. */
void access_logs_stop(struct access_log *logs);

/* The loop that owns the log. */
void access_log_line(struct access_log *log, const struct access_line *line);
