/*
 * Log lines: one line an event, as JSON or text, to standard error, in one write(2) each, from any thread.
 *
 *     log_info("build accepted", "build_id", id, "project", name, NULL);
 *
 * Key/value pairs are strings and end with NULL; a NULL value drops its pair. Values are escaped (no CR/LF
 * or control bytes can be injected) and cut at 4 KiB; a line is at most 16 KiB. Numbers: LOG_INT(n) makes a short-lived
 * string. JSON: {"time":…,"level":…,"service":…,"msg":…,"build_id":…}. Fields that lines of a kind share: build_id,
 * attempt, worker_id, trace_id, request_id, error. Those that all lines of a process share are set once: log_set_field.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* Once, at start, before other threads. `service` is static storage. */
void log_init(const char *service, enum log_level level, enum log_format format);
/* In every line from here on, behind its pairs, which do not have that key. Once for each key, LOG_MAX_FIELDS in all, by
 * one thread. The key is static storage; the value is copied, and cut at LOG_FIELD_SIZE - 1 bytes; NULL sets nothing. */
void log_set_field(const char *key, const char *value);
#define LOG_MAX_FIELDS 4
#define LOG_FIELD_SIZE 64
bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *message, ...) SENTINEL;

#define log_debug(...)                                                                                                 \
	do {                                                                                                               \
		if (log_enabled(LOG_DEBUG))                                                                                    \
			log_line(LOG_DEBUG, __VA_ARGS__);                                                                          \
	} while (0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* A thread-local ring of 16 texts: valid until 16 later uses in the same thread. */
const char *log_int_text(int64_t value);
#define LOG_INT(value) log_int_text((int64_t)(value))
