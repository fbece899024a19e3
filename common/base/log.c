#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"

#define LINE_MAX_BYTES 16384
#define VALUE_MAX_BYTES 4096
#define TAIL_BYTES 4   /* quote, brace, newline: always have room */
#define ESCAPE_BYTES 6 /* the longest form of one character: \u001f */

static const char *log_service = "kiln";
static enum log_level log_min_level = LOG_INFO;
static enum log_format log_output_format = LOG_TEXT;
static struct {
	const char *key;
	char value[LOG_FIELD_SIZE];
} log_fields[LOG_MAX_FIELDS];
static _Atomic size_t log_fields_len; /* those below it are whole, whoever looks */

void log_init(const char *service, enum log_level level, enum log_format format)
{
	log_service = service;
	log_min_level = level;
	log_output_format = format;
}

void log_set_field(const char *key, const char *value)
{
	if (value == NULL)
		return;
	size_t len = atomic_load(&log_fields_len);
	CHECK(len < LOG_MAX_FIELDS);
	log_fields[len].key = key;
	(void)snprintf(log_fields[len].value, LOG_FIELD_SIZE, "%s", value); /* cut, as the contract says */
	atomic_store(&log_fields_len, len + 1);
}

bool log_enabled(enum log_level level)
{
	return level >= log_min_level;
}

const char *log_int_text(int64_t value)
{
	static _Thread_local char ring[16][24];
	static _Thread_local unsigned next;
	char *text = ring[next++ % ARRAY_LEN(ring)];
	(void)snprintf(text, sizeof(ring[0]), "%lld", (long long)value); /* 20 characters at most */
	return text;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "error";
}

struct line {
	size_t len;
	char text[LINE_MAX_BYTES];
};

static bool has_room(const struct line *line, size_t len)
{
	return line->len + len + TAIL_BYTES <= sizeof(line->text);
}

/* Only where has_room was asked, or for the tail. */
static void put(struct line *line, const char *text, size_t len)
{
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void put_str(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void put_escaped_char(struct line *line, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *letters = "\"\"\\\\\nn\rr\tt";
	for (const char *pair = letters; *pair != '\0'; pair += 2) {
		if (c == pair[0]) {
			put(line, "\\", 1);
			put(line, pair + 1, 1);
			return;
		}
	}
	unsigned char byte = (unsigned char)c;
	if (byte >= 0x20 && byte != 0x7F) {
		put(line, &c, 1);
		return;
	}
	char escape[] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
	put(line, escape, sizeof(escape));
}

/* Up to VALUE_MAX_BYTES of the value and never past the line; whole characters only; invalid bytes as U+FFFD. */
static void put_escaped(struct line *line, const char *value)
{
	size_t len = strnlen(value, VALUE_MAX_BYTES + ESCAPE_BYTES), at = 0;
	while (at < len && at < VALUE_MAX_BYTES && has_room(line, ESCAPE_BYTES)) {
		size_t step = utf8_sequence_len(value + at, len - at);
		if (step == 0)
			put_str(line, "\xEF\xBF\xBD");
		else if (step == 1)
			put_escaped_char(line, value[at]);
		else
			put(line, value + at, step);
		at += step > 0 ? step : 1;
	}
}

static bool is_plain(const char *value)
{
	if (*value == '\0')
		return false;
	for (; *value != '\0'; value++) {
		if (*value <= ' ' || *value == '"' || *value == '\\' || *value == '=' || *value == 0x7F)
			return false; /* bytes over 0x7F are negative: quoted too */
	}
	return true;
}

static void put_pair(struct line *line, const char *key, const char *value)
{
	if (!has_room(line, strlen(key) + ESCAPE_BYTES + 2))
		return;
	if (log_output_format == LOG_JSON) {
		put_str(line, ",\"");
		put_str(line, key);
		put_str(line, "\":\"");
		put_escaped(line, value);
		put(line, "\"", 1);
		return;
	}
	put(line, " ", 1);
	put_str(line, key);
	put(line, "=", 1);
	bool plain = is_plain(value);
	if (!plain)
		put(line, "\"", 1);
	put_escaped(line, value);
	if (!plain)
		put(line, "\"", 1);
}

static void put_head(struct line *line, enum log_level level, const char *message)
{
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	if (log_output_format == LOG_JSON) {
		put_str(line, "{\"time\":\"");
		put_str(line, time);
		put_str(line, "\",\"level\":\"");
		put_str(line, level_name(level));
		put_str(line, "\",\"service\":\"");
		put_escaped(line, log_service);
		put_str(line, "\",\"msg\":\"");
		put_escaped(line, message);
		put(line, "\"", 1);
		return;
	}
	put_str(line, time);
	put(line, " ", 1);
	put_str(line, level_name(level));
	put(line, " ", 1);
	put_escaped(line, log_service);
	put_str(line, ": ");
	put_escaped(line, message);
}

void log_line(enum log_level level, const char *message, ...)
{
	if (!log_enabled(level))
		return;
	int saved_errno = errno;
	struct line line;
	line.len = 0;
	put_head(&line, level, message);
	va_list args;
	va_start(args, message);
	for (const char *key = va_arg(args, const char *); key != NULL; key = va_arg(args, const char *)) {
		const char *value = va_arg(args, const char *);
		if (value != NULL)
			put_pair(&line, key, value);
	}
	va_end(args);
	size_t fields_len = atomic_load(&log_fields_len);
	for (size_t i = 0; i < fields_len; i++)
		put_pair(&line, log_fields[i].key, log_fields[i].value);
	if (log_output_format == LOG_JSON)
		put(&line, "}", 1);
	put(&line, "\n", 1);
	/* One write, so that lines of several threads do not mix. A log that cannot be written cannot be reported either.
	 */
	ssize_t written;
	do {
		written = write(STDERR_FILENO, line.text, line.len);
	} while (written < 0 && errno == EINTR);
	errno = saved_errno;
}
