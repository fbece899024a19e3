/*
 * Lines of a build's log as clients get them: {sequence, attempt, time, stream, text}, whether they come from Postgres
 * or from kiln.build.logs. A line's sequence is attempt × 2^32 + its number in the attempt.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/json.h"

#define LOG_EVENT_TYPE "build.log" /* of each line's event in a stream */

static inline int64_t log_sequence(int64_t attempt, int64_t line)
{
	return (int64_t)((uint64_t)attempt << 32 | (uint64_t)line);
}

/* Some lines of one attempt, one after another, as an executor sent them. */
struct log_record {
	int64_t attempt, first_line;
	const cJSON *lines; /* an array */
};

/* From the data of a build.log event. ERR_INVALID. */
int log_record_of(const cJSON *data, struct log_record *ret_record, struct error *err) MUST_CHECK;

/* One line as an item of a page (key NULL). A line without text is none: false, and nothing is written. */
bool log_line_write(struct json_writer *w, int64_t attempt, int64_t sequence, const cJSON *line);

/* Appends an event for each line after `after`, until the buffer has more than `max_bytes`. Returns the sequence of the
 * last line that was looked at, or `after`. */
int64_t log_lines_sse(struct buffer *buf, const struct log_record *record, int64_t after, size_t max_bytes);
/* The sequence of its last line. */
int64_t log_record_last(const struct log_record *record);
