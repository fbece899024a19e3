#include "common/pg/rows.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

/* The records of a transaction are bounded by the inbox; this only stops a bug. */
#define COLUMN_MAX_BYTES ((size_t)512 * 1024 * 1024)
/* Malloc and free of every column in every transaction cost as much as what is put into them. */
#define COLUMN_KEPT_BYTES ((size_t)8 * 1024)

void rows_init(struct rows *rows, size_t columns)
{
	CHECK(columns < ROWS_MAX_COLUMNS); /* one is kept for `extra` */
	*rows = (struct rows){.columns = columns};
	for (size_t i = 0; i < columns; i++)
		pg_array_init(&rows->column[i], COLUMN_MAX_BYTES);
}

/* Of "$7::uuid[]": the type. Others (times, as they come as text) go as a literal. */
static enum pg_element element_of(const struct pg_statement *statement, size_t param)
{
	static const struct {
		const char *name;
		enum pg_element element;
	} known[] = {
		{"boolean[]", PG_BOOL}, {"bytea[]", PG_BYTEA}, {"bigint[]", PG_INT8}, {"smallint[]", PG_INT2},
		{"integer[]", PG_INT4}, {"text[]", PG_TEXT},   {"json[]", PG_JSON},   {"uuid[]", PG_UUID},
	};
	char cast[16];
	int len = snprintf(cast, sizeof(cast), "$%zu::", param);
	CHECK(len > 0 && (size_t)len < sizeof(cast));
	const char *found = strstr(statement->sql, cast);
	CHECK(found != NULL);
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_starts(found + len, known[i].name))
			return known[i].element;
	}
	return PG_LITERAL;
}

void rows_init_for(struct rows *rows, const struct pg_statement *statement, size_t columns)
{
	rows_init(rows, columns);
	for (size_t i = 0; i < columns; i++)
		pg_array_init_binary(&rows->column[i], element_of(statement, i + 1), COLUMN_MAX_BYTES);
}

void rows_release(struct rows *rows)
{
	for (size_t i = 0; i < rows->columns; i++)
		pg_array_release(&rows->column[i]);
	rows->len = rows->next = 0;
}

void rows_clear(struct rows *rows)
{
	if (rows->len == 0 && rows->next == 0)
		return;
	for (size_t i = 0; i < rows->columns; i++) {
		if (rows->column[i].buf.size > COLUMN_KEPT_BYTES)
			pg_array_release(&rows->column[i]);
		else
			pg_array_clear(&rows->column[i]);
	}
	rows->len = rows->next = 0;
}

static struct pg_array *take_cell(struct rows *rows)
{
	struct pg_array *cell = &rows->column[rows->next++];
	if (rows->next == rows->columns) {
		rows->next = 0;
		rows->len++;
	}
	return cell;
}

void rows_text(struct rows *rows, const char *text)
{
	pg_array_add(take_cell(rows), text);
}

void rows_text_len(struct rows *rows, const char *text, size_t len)
{
	pg_array_add_len(take_cell(rows), text, len);
}

void rows_text_or_null(struct rows *rows, const char *text)
{
	pg_array_add(take_cell(rows), text[0] == '\0' ? NULL : text);
}

void rows_int(struct rows *rows, int64_t value)
{
	pg_array_add_int(take_cell(rows), value);
}

void rows_bool(struct rows *rows, bool value)
{
	pg_array_add_bool(take_cell(rows), value);
}

void rows_bytes(struct rows *rows, const void *data, size_t len)
{
	pg_array_add_bytes(take_cell(rows), data, len);
}

void rows_params(struct rows *rows, struct pg_pipeline *pipeline, size_t first)
{
	CHECK(rows->next == 0);
	for (size_t i = 0; i < rows->columns; i++)
		pg_pipeline_array(pipeline, first + i, &rows->column[i]);
}

void rows_pipeline(struct rows *rows, struct pg_pipeline *pipeline, const struct pg_statement *statement,
				   const char *extra)
{
	if (rows->len == 0 && rows->next == 0)
		return;
	const char *params[ROWS_MAX_COLUMNS] = {NULL};
	params[rows->columns] = extra;
	pg_pipeline_add(pipeline, statement, params, rows->columns + (extra != NULL ? 1 : 0));
	rows_params(rows, pipeline, 0);
}
