#include "build-service/rows.h"

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
	pg_array_add(take_cell(rows), value ? "t" : "f");
}

void rows_bytes(struct rows *rows, const void *data, size_t len)
{
	pg_array_add_bytes(take_cell(rows), data, len);
}

void rows_params(struct rows *rows, const char **ret_params)
{
	CHECK(rows->next == 0);
	for (size_t i = 0; i < rows->columns; i++)
		ret_params[i] = pg_array_text(&rows->column[i]);
}

void rows_pipeline(struct rows *rows, struct pg_pipeline *pipeline, const struct pg_statement *statement,
				   const char *extra)
{
	if (rows->len == 0 && rows->next == 0)
		return;
	rows_params(rows, rows->params);
	rows->params[rows->columns] = extra;
	pg_pipeline_add(pipeline, statement, rows->params, rows->columns + (extra != NULL ? 1 : 0));
}
