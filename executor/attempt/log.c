#include "executor/attempt/log.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/base/utf8.h"
#include "common/json/json.h"

#define LINE_MAX_BYTES 16384
#define PIECE_BYTES 4096                 /* of a line that escapes blow up */
#define RECORD_BYTES ((size_t)60 * 1024) /* of lines; with the frame around them at most 64 KiB */
#define BATCH_BYTES (RECORD_BYTES + (size_t)128 * 1024)
#define BATCH_MS 50
#define FULL_WAIT_MS 600000 /* where all of Kafka is away the daemon's dead-man rule ends the wait long before */
#define MEANWHILE_MS 100

void attempt_log_init(struct attempt_log *log, struct daemon_link *link, const struct fencing_token *token)
{
	*log = (struct attempt_log){.link = link, .token = *token, .next_line = 1, .batch_line = 1, .due_ms = INT64_MAX};
	buffer_init(&log->partial[0], LINE_MAX_BYTES + 8);
	buffer_init(&log->partial[1], LINE_MAX_BYTES + 8);
	buffer_init(&log->batch, BATCH_BYTES);
}

void attempt_log_release(struct attempt_log *log)
{
	buffer_release(&log->partial[0]);
	buffer_release(&log->partial[1]);
	buffer_release(&log->batch);
	secrets_release(&log->secrets);
}

/* Also of waits that were short, one behind the other. */
static int64_t look_meanwhile(struct attempt_log *log)
{
	if (log->meanwhile != NULL && clock_boot_ms() >= log->meanwhile_ms) {
		log->meanwhile(log->meanwhile_ctx);
		log->meanwhile_ms = clock_boot_ms() + MEANWHILE_MS;
	}
	return clock_boot_ms();
}

/* False: it has waited in vain. One record waits for all: each in its turn, what a pipe holds could take a day. */
static bool wait_for_room(struct attempt_log *log)
{
	struct error err = ERROR_INIT;
	if (daemon_link_has_room(log->link))
		return true;
	(void)daemon_link_receive(log->link); /* there may be room by what has come; a cancel stays noted */
	int64_t now_ms = clock_boot_ms(), deadline_ms = log->in_vain ? now_ms : now_ms + FULL_WAIT_MS;
	bool room = daemon_link_has_room(log->link);
	while (!room && now_ms < deadline_ms) {
		int64_t step_ms = log->meanwhile != NULL ? now_ms + MEANWHILE_MS : deadline_ms;
		room = daemon_link_wait_acked(log->link, 0, step_ms < deadline_ms ? step_ms : deadline_ms, &err) == 0;
		now_ms = look_meanwhile(log);
	}
	log->in_vain = !room;
	return room;
}

void attempt_log_flush(struct attempt_log *log)
{
	if (log->batch.len == 0)
		return;
	CLEANUP(buffer_release_p) struct buffer record;
	buffer_init(&record, BATCH_BYTES + 1024);
	(void)buffer_appendf(
		&record,
		"{\"build_id\":\"%s\",\"attempt\":%" PRId32 ",\"lease_id\":\"%s\",\"first_line\":%" PRId64 ",\"lines\":[",
		log->token.build_id, log->token.attempt, log->token.lease_id, log->batch_line); /* checked below */
	(void)buffer_append(&record, log->batch.data, log->batch.len);                      /* as above */
	(void)buffer_append_str(&record, "]}");                                             /* as above */
	CHECK(buffer_ok(&record));
	if (wait_for_room(log)) /* else the record is left out: the build must come to an end without it */
		(void)daemon_link_send(log->link, FRAME_LOG, record.data, record.len, true); /* nobody waits for this one */
	buffer_clear(&log->batch);
	log->batch_line = log->next_line;
	log->due_ms = INT64_MAX;
}

static const char *stream_name(enum log_stream stream)
{
	return stream == STREAM_STDOUT ? "stdout" : stream == STREAM_STDERR ? "stderr" : "kiln";
}

/* What a line of Kiln's own stands for; zeroed: nothing. */
struct left_out {
	int64_t bytes, lines;
};

/* One line of valid UTF-8 into the batch. */
static void add_line(struct attempt_log *log, enum log_stream stream, const char *text, size_t len,
					 struct left_out left_out)
{
	if (log->quiet)
		return;
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	CLEANUP(buffer_release_p) struct buffer line;
	buffer_init(&line, 6 * len + 256); /* every byte escaped */
	struct json_writer w;
	json_writer_init(&w, &line);
	json_object_begin(&w, NULL);
	json_string(&w, "time", time);
	json_string(&w, "stream", stream_name(stream));
	json_string_len(&w, "text", text, len);
	if (left_out.bytes > 0) {
		json_object_begin(&w, "truncated");
		json_int(&w, "bytes", left_out.bytes);
		json_int(&w, "lines", left_out.lines);
		json_object_end(&w);
	}
	json_object_end(&w);
	CHECK(buffer_ok(&line));
	if (log->batch.len > 0 && log->batch.len + line.len > RECORD_BYTES)
		attempt_log_flush(log);
	if (log->batch.len == 0)
		log->due_ms = clock_boot_ms() + BATCH_MS;
	else
		(void)buffer_append_char(&log->batch, ','); /* room: the batch is far larger than a record */
	CHECK(buffer_append(&log->batch, line.data, line.len) == 0);
	log->next_line++;
	if (log->batch.len >= RECORD_BYTES)
		attempt_log_flush(log);
}

static size_t escaped_len(const char *text, size_t len)
{
	size_t total = 0;
	for (size_t i = 0; i < len; i++)
		total += (unsigned char)text[i] < 0x20 ? 6 : (text[i] == '"' || text[i] == '\\') ? 2 : 1;
	return total;
}

/* A line as it came: made UTF-8, without the CR of a CRLF, cut when long. */
static void take_line(struct attempt_log *log, enum log_stream stream, const char *data, size_t len,
					  struct left_out left_out)
{
	if (len > 0 && data[len - 1] == '\r')
		len--;
	CLEANUP(buffer_release_p) struct buffer clean;
	buffer_init(&clean, 3 * len + 1);
	CHECK(str_append_utf8_lossy(&clean, data, len) == 0);
	const char *text = clean.data;
	size_t left = clean.len;
	size_t piece = left > LINE_MAX_BYTES || escaped_len(text, left) > RECORD_BYTES / 2 ? PIECE_BYTES : LINE_MAX_BYTES;
	do {
		size_t cut = utf8_cut(text, left, piece);
		add_line(log, stream, text, cut, left_out);
		text += cut;
		left -= cut;
	} while (left > 0);
}

/* Ends in the middle of a character: its bytes wait for the rest. Only at the cut of a long line. */
static size_t split_point(const char *data, size_t len)
{
	size_t back = 0;
	while (back < 3 && back + 1 < len && ((unsigned char)data[len - 1 - back] & 0xC0) == 0x80)
		back++;
	unsigned char lead = (unsigned char)data[len - 1 - back];
	size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
	return need > back + 1 ? len - 1 - back : len;
}

void attempt_log_output(struct attempt_log *log, enum log_stream stream, const char *data, size_t len)
{
	struct buffer *partial = &log->partial[stream == STREAM_STDERR];
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline != NULL ? (size_t)(newline - data) : len;
		size_t room = LINE_MAX_BYTES - partial->len;
		if (part > room) {
			CHECK(buffer_append(partial, data, room) == 0);
			data += room;
			len -= room;
			size_t cut = split_point(partial->data, partial->len);
			take_line(log, stream, partial->data, cut, (struct left_out){0});
			buffer_consume(partial, cut);
			continue;
		}
		CHECK(part == 0 || buffer_append(partial, data, part) == 0);
		data += part;
		len -= part;
		if (newline != NULL) {
			take_line(log, stream, partial->data, partial->len, (struct left_out){0});
			buffer_clear(partial);
			data++;
			len--;
		}
	}
}

void attempt_log_end(struct attempt_log *log, enum log_stream stream)
{
	struct buffer *partial = &log->partial[stream == STREAM_STDERR];
	if (partial->len > 0)
		take_line(log, stream, partial->data, partial->len, (struct left_out){0});
	buffer_clear(partial);
}

static void add_kiln(struct attempt_log *log, struct left_out left_out, const char *format, va_list args)
{
	CLEANUP(free_p) char *text = xvasprintf(format, args);
	for (char *c = text; *c != '\0'; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	take_line(log, STREAM_KILN, text, secrets_mask(&log->secrets, text, strlen(text)), left_out);
}

void attempt_log_kiln(struct attempt_log *log, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_kiln(log, (struct left_out){0}, format, args);
	va_end(args);
}

void attempt_log_left_out(struct attempt_log *log, int64_t bytes, int64_t lines, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_kiln(log, (struct left_out){.bytes = bytes, .lines = lines}, format, args);
	va_end(args);
}

void attempt_log_tick(struct attempt_log *log, int64_t now_ms)
{
	if (now_ms >= log->due_ms && !attempt_log_blocked(log))
		attempt_log_flush(log);
}

bool attempt_log_blocked(const struct attempt_log *log)
{
	return daemon_link_is_full(log->link);
}
