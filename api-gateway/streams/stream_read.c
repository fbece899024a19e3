#include "api-gateway/streams/stream_read.h"

#include <string.h>

#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/streams/log_lines.h"
#include "api-gateway/streams/log_progress.h"
#include "api-gateway/streams/sse.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "common/pg/pg.h"
#include "kiln_gateway_sql.h"

#define PAGE_EVENTS 200
#define PAGE_LINES 1000
/* One event or record may be much longer than a page. */
#define BYTES_MAX (STREAM_PAGE_BYTES + (size_t)KAFKA_MAX_MESSAGE_BYTES * 3)

void stream_read_init(struct stream_read *read, enum stream_kind kind, const char *key, int64_t after)
{
	*read = (struct stream_read){.kind = kind, .after = after, .last = after, .log_end = -1};
	(void)snprintf(read->key, sizeof(read->key), "%s", key); /* a UUID */
	buffer_init(&read->bytes, BYTES_MAX);
}

void stream_read_release(struct stream_read *read)
{
	buffer_release(&read->bytes);
}

static int check_size(const struct stream_read *read, struct error *err)
{
	return buffer_ok(&read->bytes) ? 0 : error_set(err, ERR_INTERNAL, "a stored event is too long");
}

static int read_events(struct stream_read *read, struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	const char *params[] = {read->key, LOG_INT(read->after), LOG_INT(PAGE_EVENTS + 1), LOG_INT(STREAM_PAGE_BYTES)};
	if (pg_query(conn, &sql_stream_events, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	int count = PQntuples(rows);
	for (int row = 0; row < count && row < PAGE_EVENTS && pg_text(rows, row, "body") != NULL; row++) {
		const char *body = pg_text(rows, row, "body");
		sse_event(&read->bytes, pg_text(rows, row, "sequence"), pg_text(rows, row, "type"), body, strlen(body));
		read->last = pg_int(rows, row, "sequence", 0);
		read->more = pg_bool(rows, row, "more");
	}
	read->build_ended = count > 0 && build_status_ended(pg_text(rows, 0, "status"));
	read->complete = read->build_ended && !read->more;
	return check_size(read, err);
}

/* Nothing of an ended build comes behind it. */
static int find_log_end(struct stream_read *read, struct gateway *gateway, struct error *err)
{
	return read->log_end >= 0 ? 0 : log_progress_end(gateway, read->key, &read->log_end, err);
}

static void write_missing(struct stream_read *read, int64_t attempt, int64_t line)
{
	struct log_gap gap;
	if (!log_gap_before(read->last, attempt, line, &gap))
		return;
	log_gap_sse(&read->bytes, &gap);
	read->last = gap.to;
}

/* Returns how many lines were looked at. */
static int64_t write_log_record(struct stream_read *read, const struct log_chunk *chunk)
{
	write_missing(read, chunk->attempt, chunk->first_line);
	if (chunk->lines == NULL) { /* they cannot be read */
		write_missing(read, chunk->attempt, chunk->first_line + chunk->lines_len);
		return chunk->lines_len;
	}
	const struct log_record record = {
		.attempt = chunk->attempt, .first_line = chunk->first_line, .lines = chunk->lines};
	int64_t before = log_sequence(record.attempt, record.first_line) - 1;
	if (read->last > before)
		before = read->last;
	read->last = log_lines_sse(&read->bytes, &record, before, STREAM_PAGE_BYTES);
	read->more = read->last < log_record_last(&record);
	return read->last - before;
}

static int read_lines(struct stream_read *read, struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	const char *params[] = {read->key, LOG_INT(read->after >> 32), LOG_INT(read->after & UINT32_MAX),
							LOG_INT(PAGE_LINES)};
	if (pg_query(conn, &sql_build_logs, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	int64_t lines = 0;
	for (int row = 0; row < PQntuples(rows) && !read->more; row++) {
		CLEANUP(log_chunk_release) struct log_chunk chunk;
		log_chunk_read(rows, row, read->key, &chunk);
		lines += write_log_record(read, &chunk);
	}
	read->more = read->more || lines >= PAGE_LINES; /* where the statement stops */
	return check_size(read, err);
}

/* The place comes before the rows: they hold everything below it, and are the build's last ones when it had ended. */
static int read_logs(struct stream_read *read, struct gateway *gateway, struct pg_conn *conn, struct error *err)
{
	struct log_progress progress;
	struct error kafka_err = ERROR_INIT;
	if (log_progress_read(conn, read->key, &progress, err) < 0)
		return -1;
	read->covered = progress.applied;
	read->build_ended = progress.build_ended;
	/* Without Kafka the lines that are there are sent all the same; whether they are the last must wait. */
	bool end_known = read->build_ended && find_log_end(read, gateway, &kafka_err) == 0;
	if (read_lines(read, conn, err) < 0)
		return -1;
	read->complete = end_known && !read->more && read->covered >= read->log_end;
	return 0;
}

int stream_read_run(struct stream_read *read, struct gateway *gateway, struct pg_conn *conn, struct error *err)
{
	return read->kind == STREAM_EVENTS ? read_events(read, conn, err) : read_logs(read, gateway, conn, err);
}
