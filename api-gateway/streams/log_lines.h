/*
 * Lines of a build's log as clients get them: {sequence, attempt, time, stream, text}, whether they come from Postgres
 * or from kiln.build.logs. A line's sequence is attempt × 2^32 + its number in the attempt.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/pg/pg.h"

#define LOG_EVENT_TYPE "build.log" /* of each line's event in a stream */
#define LOG_GAP_TYPE "gap"         /* of what stands there for lines that are missing */

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

/* Lines of one attempt that are not there: from one sequence to another. */
struct log_gap {
	int64_t from, to;
};

/* What is missing between the line `after` and a record that begins with this line. False: nothing. An attempt's log
 * begins with line 1; that numbers of attempts may be missing says nothing. */
bool log_gap_before(int64_t after, int64_t attempt, int64_t first_line, struct log_gap *ret_gap);
/* For people: "[gap: lines 5 to 9 of attempt 1 are missing]". */
#define LOG_GAP_TEXT 120
void log_gap_text(const struct log_gap *gap, char text[LOG_GAP_TEXT]);
/* An item of a page, in the place of a line: {sequence, attempt, time null, stream kiln, text, gap {from, to, lines}}.
 */
void log_gap_write(struct json_writer *w, const struct log_gap *gap);
/* The same as an event; its id is that of the last line that is missing. */
void log_gap_sse(struct buffer *buf, const struct log_gap *gap);

/* A record as it is stored. */
struct log_chunk {
	int64_t attempt, first_line;
	int64_t lines_len; /* 0: it only tells that there were lines before it */
	cJSON *lines;      /* an array; NULL: there are none, or they cannot be read */
};
/* From a row of build-logs.sql. What cannot be read is logged. The caller's: log_chunk_release. */
void log_chunk_read(const PGresult *rows, int row, const char *build_id, struct log_chunk *ret_chunk);
void log_chunk_release(struct log_chunk *chunk);

/* Appends an event for each line after `after`, until the buffer has more than `max_bytes`. Returns the sequence of the
 * last line that was looked at, or `after`. */
int64_t log_lines_sse(struct buffer *buf, const struct log_record *record, int64_t after, size_t max_bytes);
/* The sequence of its last line. */
int64_t log_record_last(const struct log_record *record);
