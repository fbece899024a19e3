#include "api-gateway/log_lines.h"

#include <inttypes.h>

#include "api-gateway/sse.h"

#define ATTEMPT_MAX INT32_MAX
#define LINE_MAX_NUMBER UINT32_MAX
#define ITEM_MAX ((size_t)256 * 1024)

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
