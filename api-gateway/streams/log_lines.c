#include "api-gateway/streams/log_lines.h"

#include <inttypes.h>

#include "api-gateway/streams/sse.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "common/pack/pack.h"

#define ATTEMPT_MAX INT32_MAX
#define LINE_MAX_NUMBER UINT32_MAX
#define ITEM_MAX ((size_t)256 * 1024)
#define LINES_MAX_BYTES ((size_t)KAFKA_MAX_MESSAGE_BYTES * 2) /* as in the log store */

int log_record_of(const cJSON *data, struct log_record *ret_record, struct error *err)
{
	struct log_record record = {
		.attempt = json_get_int(data, "attempt", 0),
		.first_line = json_get_int(data, "first_line", 0),
		.lines = json_get(data, "lines"),
	};
	if (record.attempt < 1 || record.attempt > ATTEMPT_MAX || record.first_line < 1 ||
		record.first_line > LINE_MAX_NUMBER || !cJSON_IsArray(record.lines))
		return error_set(err, ERR_INVALID, "not the data of a build.log");
	*ret_record = record;
	return 0;
}

bool log_line_write(struct json_writer *w, int64_t attempt, int64_t sequence, const cJSON *line)
{
	const char *text = json_get_string(line, "text");
	if (text == NULL)
		return false;
	json_object_begin(w, NULL);
	json_int(w, "sequence", sequence);
	json_int(w, "attempt", attempt);
	json_string(w, "time", json_get_string(line, "time"));
	json_string(w, "stream", json_get_string(line, "stream"));
	json_string(w, "text", text);
	if (json_get(line, "truncated") != NULL)
		json_tree(w, "truncated", json_get(line, "truncated"));
	json_object_end(w);
	return true;
}

bool log_gap_before(int64_t after, int64_t attempt, int64_t first_line, struct log_gap *ret_gap)
{
	int64_t first = log_sequence(attempt, first_line);
	int64_t expected = after >> 32 == attempt ? after + 1 : log_sequence(attempt, 1);
	if (first <= expected || first <= after)
		return false;
	*ret_gap = (struct log_gap){.from = expected, .to = first - 1};
	return true;
}

void log_gap_text(const struct log_gap *gap, char text[LOG_GAP_TEXT])
{
	(void)snprintf(text, LOG_GAP_TEXT,
				   "[gap: lines %" PRId64 " to %" PRId64 " of attempt %" PRId64 " are missing]", /* 20 digits each */
				   gap->from & UINT32_MAX, gap->to & UINT32_MAX, gap->to >> 32);
}

void log_gap_write(struct json_writer *w, const struct log_gap *gap)
{
	char text[LOG_GAP_TEXT];
	log_gap_text(gap, text);
	json_object_begin(w, NULL);
	json_int(w, "sequence", gap->to);
	json_int(w, "attempt", gap->to >> 32);
	json_null(w, "time");
	json_string(w, "stream", "kiln");
	json_string(w, "text", text);
	json_object_begin(w, "gap");
	json_int(w, "from", gap->from);
	json_int(w, "to", gap->to);
	json_int(w, "lines", gap->to - gap->from + 1);
	json_object_end(w);
	json_object_end(w);
}

void log_gap_sse(struct buffer *buf, const struct log_gap *gap)
{
	char id[24];
	CLEANUP(buffer_release_p) struct buffer item;
	buffer_init(&item, ITEM_MAX);
	struct json_writer w;
	json_writer_init(&w, &item);
	log_gap_write(&w, gap);
	(void)snprintf(id, sizeof(id), "%" PRId64, gap->to); /* 20 characters at most */
	sse_event(buf, id, LOG_GAP_TYPE, item.data, item.len);
}

/* As the log store has packed them. */
static int read_lines(const PGresult *rows, int row, cJSON **ret_lines, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer packed;
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&packed, LINES_MAX_BYTES);
	buffer_init(&text, LINES_MAX_BYTES);
	if (pg_bytes(rows, row, "lines", &packed) < 0)
		return error_set(err, ERR_INVALID, "the record is too long");
	if (unpack(packed.data, packed.len, LINES_MAX_BYTES, &text, err) < 0)
		return -1;
	return json_parse(text.data, text.len, ret_lines, err);
}

void log_chunk_read(const PGresult *rows, int row, const char *build_id, struct log_chunk *ret_chunk)
{
	struct log_chunk chunk = {
		.attempt = pg_int(rows, row, "attempt", 0),
		.first_line = pg_int(rows, row, "first_line", 1),
		.lines_len = pg_int(rows, row, "line_count", 0),
	};
	struct error err = ERROR_INIT;
	if (chunk.lines_len > 0 && read_lines(rows, row, &chunk.lines, &err) < 0)
		log_error("unreadable log record", "build_id", build_id, "attempt", LOG_INT(chunk.attempt), "first_line",
				  LOG_INT(chunk.first_line), "error", err.message, NULL);
	*ret_chunk = chunk;
}

void log_chunk_release(struct log_chunk *chunk)
{
	cJSON_Delete(chunk->lines);
	chunk->lines = NULL;
}

int64_t log_lines_sse(struct buffer *buf, const struct log_record *record, int64_t after, size_t max_bytes)
{
	CLEANUP(buffer_release_p) struct buffer item;
	buffer_init(&item, ITEM_MAX);
	int64_t sequence = log_sequence(record->attempt, record->first_line);
	const cJSON *line;
	cJSON_ArrayForEach(line, record->lines)
	{
		int64_t at = sequence++;
		if (at <= after)
			continue;
		if (buf->len > max_bytes)
			break;
		struct json_writer w;
		char id[24];
		buffer_clear(&item);
		json_writer_init(&w, &item);
		(void)snprintf(id, sizeof(id), "%" PRId64, at); /* 20 characters at most */
		if (log_line_write(&w, record->attempt, at, line) && buffer_ok(&item))
			sse_event(buf, id, LOG_EVENT_TYPE, item.data, item.len);
		after = at;
	}
	return after;
}

int64_t log_record_last(const struct log_record *record)
{
	return log_sequence(record->attempt, record->first_line) + cJSON_GetArraySize(record->lines) - 1;
}
