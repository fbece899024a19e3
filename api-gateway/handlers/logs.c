/*
 * GET /builds/{taskId}/logs. Postgres keeps the executors' records as they came, each with some lines. As JSON a page
 * has `limit` lines; as text a page has up to TEXT_PAGE_BYTES unless a limit is given.
 */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/streams/log_lines.h"
#include "api-gateway/streams/log_progress.h"
#include "kiln_gateway_sql.h"

#define TEXT_PAGE_BYTES ((size_t)4 * 1024 * 1024)

/* Where lines go: as items of a page, or as text. */
struct lines {
	struct request *request;
	struct page *page; /* NULL: text */
	int64_t after;     /* the sequence of the last line written, or where the page begins */
	int64_t left;      /* how many lines may be written; -1 no limit */
	bool more;
};

static bool is_full(const struct lines *lines)
{
	return lines->left == 0 || (lines->page == NULL && lines->request->answer.body.len >= TEXT_PAGE_BYTES);
}

static void write_text(struct lines *lines, const char *text)
{
	struct buffer *body = &lines->request->answer.body;
	if (text == NULL)
		return;
	(void)buffer_append_str(body, text); /* request_send looks at buffer_ok */
	(void)buffer_append_char(body, '\n');
}

static void write_line(struct lines *lines, int64_t sequence, int64_t attempt, const cJSON *line)
{
	if (lines->page == NULL)
		write_text(lines, json_get_string(line, "text"));
	else
		(void)log_line_write(&lines->page->w, attempt, sequence, line); /* one without text is none */
}

static void write_gap(struct lines *lines, const struct log_gap *gap)
{
	if (lines->page != NULL) {
		log_gap_write(&lines->page->w, gap);
		return;
	}
	char text[LOG_GAP_TEXT];
	log_gap_text(gap, text);
	write_text(lines, text);
}

/* Room for one more item, which ends with this sequence. */
static bool take_place(struct lines *lines, int64_t sequence)
{
	if (is_full(lines)) {
		lines->more = true;
		return false;
	}
	lines->after = sequence;
	lines->left -= lines->left > 0;
	return true;
}

/* What is missing before a line of an attempt. False: the page is full. */
static bool write_missing(struct lines *lines, int64_t attempt, int64_t line)
{
	struct log_gap gap;
	if (!log_gap_before(lines->after, attempt, line, &gap))
		return true;
	if (!take_place(lines, gap.to))
		return false;
	write_gap(lines, &gap);
	return true;
}

/* One record's lines after lines->after, and what is missing before them. */
static void write_record(struct lines *lines, const struct log_chunk *chunk)
{
	int64_t number = chunk->first_line;
	const cJSON *line;
	if (!write_missing(lines, chunk->attempt, number))
		return;
	cJSON_ArrayForEach(line, chunk->lines)
	{
		int64_t sequence = log_sequence(chunk->attempt, number++);
		if (sequence <= lines->after)
			continue;
		if (!take_place(lines, sequence))
			return;
		write_line(lines, sequence, chunk->attempt, line);
	}
	if (chunk->lines == NULL)                                                  /* it cannot be read */
		(void)write_missing(lines, chunk->attempt, number + chunk->lines_len); /* `more` says it */
}

/* Records after lines->after, until the page is full or the log's end. */
static int write_records(struct lines *lines, struct db *db)
{
	while (!lines->more) {
		int64_t batch = lines->left >= 0 ? lines->left + 1 : QUERY_LIMIT_MAX;
		const char *params[] = {lines->request->param, LOG_INT(lines->after >> 32), LOG_INT(lines->after & UINT32_MAX),
								LOG_INT(batch)};
		CLEANUP(pg_result_p) PGresult *rows = NULL;
		struct error err = ERROR_INIT;
		if (pg_query(db->conn, &sql_build_logs, params, ARRAY_LEN(params), &rows, &err) < 0)
			return db_problem(lines->request, &err);
		int64_t before = lines->after;
		for (int row = 0; row < PQntuples(rows) && !lines->more; row++) {
			CLEANUP(log_chunk_release) struct log_chunk chunk;
			log_chunk_read(rows, row, lines->request->param, &chunk);
			write_record(lines, &chunk);
		}
		if (lines->after == before)
			return 0; /* nothing new: the end */
	}
	return 0;
}

/* Of a build that ended a minute ago the log store has the lines, or lags by more than anybody waits. */
static bool may_lack_lines(const struct build_found *found)
{
	return build_found_ended(found) && pg_bool(found->row, 0, "changed_lately");
}

static int write_log(struct lines *lines, struct db *db, const struct build_found *found)
{
	if (found->row == NULL)
		return 0; /* accepted, and nothing applied yet */
	if (write_records(lines, db) < 0)
		return -1;
	if (lines->more || !may_lack_lines(found))
		return 0;
	struct error err = ERROR_INIT;
	if (log_progress_wait(lines->request->gateway, db->conn, lines->request->param, &err) < 0)
		return db_problem(lines->request, &err);
	return write_records(lines, db);
}

static void answer_text(struct request *request, struct db *db, const struct build_found *found, int64_t after)
{
	struct lines lines = {
		.request = request, .after = after, .left = request->query.limit_given ? request->query.limit : -1};
	answer_empty(&request->answer, 200);
	request->answer.content_type = "text/plain; charset=utf-8";
	if (write_log(&lines, db, found) < 0 || !lines.more)
		return;
	CLEANUP(buffer_release_p) struct buffer cursor;
	buffer_init(&cursor, CURSOR_MAX);
	CHECK(page_append_sequence(request, &cursor, CURSOR_LOGS, lines.after) == 0);
	page_link(request, cursor.data);
}

static void answer_items(struct request *request, struct db *db, const struct build_found *found, int64_t after)
{
	struct page page;
	page_begin_open(&page, request);
	struct lines lines = {.request = request, .page = &page, .after = after, .left = request->query.limit};
	if (write_log(&lines, db, found) < 0) {
		buffer_release(&page.next);
		return;
	}
	if (lines.more)
		(void)page_append_sequence(request, &page.next, CURSOR_LOGS, lines.after); /* the page looks at buffer_ok */
	page_end(&page, request);
}

bool build_logs(struct request *request)
{
	if (request->offer == 2)
		return build_stream(request, STREAM_LOGS, CURSOR_LOGS);
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	int64_t after;
	if (page_sequence(request, CURSOR_LOGS, &after) < 0 || build_lookup_taking(request, &db, &found) < 0)
		return true;
	if (request->offer == 1)
		answer_text(request, &db, &found, after);
	else
		answer_items(request, &db, &found, after);
	return true;
}
