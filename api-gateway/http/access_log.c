#include "api-gateway/http/access_log.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "api-gateway/http/traceparent.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"

#define FILL_BYTES ((size_t)256 * 1024) /* a loop's lines between two writes */
#define LINE_BYTES 2048                 /* the longest line */
#define PATH_BYTES 512
#define WRITE_EVERY_MS 100
#define IDLE_MS 60000

struct access_log {
	pthread_mutex_t lock; /* `filling`, `len`; the writer swaps, nothing more */
	char *filling;
	size_t len;
	char *writing; /* the writer's */
};

struct writer {
	pthread_t thread;
	struct wakeup wakeup;
	struct access_log *logs;
	size_t count;
	_Atomic bool stop, hurry;
	bool on;
	enum log_format format;
};

static struct writer writer;
static struct metric dropped_total = {.kind = METRIC_COUNTER,
									  .name = "kiln_gateway_log_lines_dropped_total",
									  .help = "Access log lines that did not fit because the log was not read."};

static void write_all(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t written = write(STDERR_FILENO, data, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return; /* a log that cannot be written cannot be reported either */
		data += written;
		len -= (size_t)written;
	}
}

static void write_out(struct access_log *log)
{
	mutex_lock(&log->lock);
	char *full = log->filling;
	size_t len = log->len;
	log->filling = log->writing;
	log->writing = full;
	log->len = 0;
	mutex_unlock(&log->lock);
	write_all(full, len);
}

/* Lets lines come together for a while, however often it is woken; a log that fills up ends that. */
static void collect(void)
{
	int64_t until_ms = clock_boot_ms() + WRITE_EVERY_MS;
	while (clock_left_ms(until_ms) > 0 && !atomic_load(&writer.hurry) && !atomic_load(&writer.stop))
		(void)wakeup_wait(&writer.wakeup, clock_left_ms(until_ms)); /* the loop looks at why */
}

static void *write_lines(void *arg)
{
	(void)arg;
	while (!atomic_load(&writer.stop)) {
		if (wakeup_wait(&writer.wakeup, IDLE_MS)) /* there is a first line */
			collect();
		atomic_store(&writer.hurry,
					 false); /* before the logs are emptied: one that is set later counts for the next time */
		for (size_t i = 0; i < writer.count; i++)
			write_out(&writer.logs[i]);
	}
	for (size_t i = 0; i < writer.count; i++)
		write_out(&writer.logs[i]);
	return NULL;
}

struct access_log *access_logs_start(size_t count, bool on, const struct config_common *config)
{
	writer.on = on && log_enabled(LOG_INFO);
	writer.format = (enum log_format)config->log_format;
	writer.count = count;
	writer.logs = xcalloc(count, sizeof(*writer.logs));
	metric_register(&dropped_total);
	if (!writer.on)
		return writer.logs;
	for (size_t i = 0; i < count; i++) {
		mutex_init(&writer.logs[i].lock);
		writer.logs[i].filling = xmalloc(FILL_BYTES);
		writer.logs[i].writing = xmalloc(FILL_BYTES);
	}
	wakeup_init(&writer.wakeup);
	struct error err = ERROR_INIT;
	CHECK(thread_start(&writer.thread, "gateway-log", 0, write_lines, NULL, &err) == 0);
	return writer.logs;
}

struct access_log *access_log_at(struct access_log *logs, size_t index)
{
	return &logs[index];
}

void access_logs_stop(struct access_log *logs)
{
	if (writer.on) {
		atomic_store(&writer.stop, true);
		wakeup_signal(&writer.wakeup);
		thread_join(writer.thread);
		wakeup_release(&writer.wakeup);
		for (size_t i = 0; i < writer.count; i++) {
			free(logs[i].filling);
			free(logs[i].writing);
		}
	}
	free(logs);
	writer.logs = NULL;
}

/* Fields are put in the form of log.c: `,"key":"value"` or ` key=value`. Everything but method and path is known to
 * need no escape. */
struct line {
	char *at;
};

static void put(struct line *line, const char *text, size_t len)
{
	memcpy(line->at, text, len);
	line->at += len;
}

static void put_key(struct line *line, const char *key)
{
	if (writer.format == LOG_JSON)
		put(line, ",\"", 2);
	else
		put(line, " ", 1);
	put(line, key, strlen(key));
	if (writer.format == LOG_JSON)
		put(line, "\":\"", 3);
	else
		put(line, "=", 1);
}

static void put_end(struct line *line)
{
	if (writer.format == LOG_JSON)
		put(line, "\"", 1);
}

static void put_plain(struct line *line, const char *key, const char *value, size_t len)
{
	put_key(line, key);
	put(line, value, len);
	put_end(line);
}

static void put_number(struct line *line, const char *key, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	put_plain(line, key, digits + at, sizeof(digits) - at);
}

/* What the client sent, up to a limit: bytes outside of printable ASCII, quotes and backslashes become %XX, so that a
 * path reads the same in both forms and nothing can be injected. */
static void put_client_text(struct line *line, const char *key, const char *text, size_t len, size_t max)
{
	static const char digits[] = "0123456789ABCDEF";
	put_key(line, key);
	const char *stop = line->at + max;
	for (size_t i = 0; i < len && line->at + 3 <= stop; i++) {
		unsigned char byte = (unsigned char)text[i];
		if (byte > ' ' && byte < 0x7F && byte != '"' && byte != '\\' && byte != '=') {
			*line->at++ = (char)byte;
		} else {
			char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};
			put(line, escape, sizeof(escape));
		}
	}
	put_end(line);
}

static void put_head(struct line *line)
{
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	if (writer.format == LOG_JSON) {
		static const char head[] = "\",\"level\":\"info\",\"service\":\"kiln-gateway\",\"msg\":\"request\"";
		put(line, "{\"time\":\"", 9);
		put(line, time, CLOCK_RFC3339_SIZE - 1);
		put(line, head, sizeof(head) - 1);
	} else {
		static const char head[] = " info kiln-gateway: request";
		put(line, time, CLOCK_RFC3339_SIZE - 1);
		put(line, head, sizeof(head) - 1);
	}
}

static size_t format_line(const struct access_line *fields, char *out)
{
	struct line line = {out};
	put_head(&line);
	put_client_text(&line, "method", fields->method, fields->method_len, 32);
	put_client_text(&line, "path", fields->path, fields->path_len, PATH_BYTES);
	put_number(&line, "status", (uint64_t)fields->status);
	put_number(&line, "bytes", fields->bytes);
	put_number(&line, "duration_us", (uint64_t)(fields->duration_us > 0 ? fields->duration_us : 0));
	if (fields->address[0] != '\0')
		put_plain(&line, "address", fields->address, strlen(fields->address));
	put_plain(&line, "request_id", fields->request_id, strlen(fields->request_id));
	put_plain(&line, "trace_id", fields->trace_id, TRACE_ID_LEN);
	if (fields->token_id != NULL)
		put_plain(&line, "token_id", fields->token_id, strlen(fields->token_id));
	if (fields->build_id != NULL)
		put_plain(&line, "build_id", fields->build_id, strlen(fields->build_id));
	if (writer.format == LOG_JSON)
		put(&line, "}", 1);
	put(&line, "\n", 1);
	return (size_t)(line.at - out);
}

void access_log_line(struct access_log *log, const struct access_line *fields)
{
	if (!writer.on)
		return;
	mutex_lock(&log->lock); /* held by the writer for a swap of two pointers only */
	size_t before = log->len;
	if (FILL_BYTES - log->len >= LINE_BYTES)
		log->len += format_line(fields, log->filling + log->len);
	else
		metric_add(&dropped_total, 1);
	bool first = before == 0, half = before < FILL_BYTES / 2 && log->len >= FILL_BYTES / 2;
	mutex_unlock(&log->lock);
	if (half)
		atomic_store(&writer.hurry, true);
	if (first || half)
		wakeup_signal(&writer.wakeup);
}
