/* Columns for one multi-row statement: `… FROM unnest($1::uuid[], $2::text[], …)`. One thread's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/pg/pg.h"

#define ROWS_MAX_COLUMNS 29

struct rows {
	size_t columns;
	size_t len;  /* complete rows */
	size_t next; /* the column that comes next */
	struct pg_array column[ROWS_MAX_COLUMNS];
};

void rows_init(struct rows *rows, size_t columns);
/* The same for the first parameters of just this statement (or others that cast them alike), in binary form: for what
 * comes in great numbers. Cells must be of the types that the statement names, times of any are text. */
void rows_init_for(struct rows *rows, const struct pg_statement *statement, size_t columns);
void rows_release(struct rows *rows);
/* Forgets the rows, and gives memory back that was unusually much. */
void rows_clear(struct rows *rows);

/* The cells of a row in the order of the statement's parameters; NULL text is SQL NULL. */
void rows_text(struct rows *rows, const char *text);
void rows_text_len(struct rows *rows, const char *text, size_t len); /* without a NUL in it */
/* "" is SQL NULL. */
void rows_text_or_null(struct rows *rows, const char *text);
void rows_int(struct rows *rows, int64_t value);
void rows_bool(struct rows *rows, bool value);
void rows_bytes(struct rows *rows, const void *data, size_t len);

/* Its columns as parameters of the statement added last, from the parameter `first` on. The rows stay as they are until
 * the pipeline ran. */
void rows_params(struct rows *rows, struct pg_pipeline *pipeline, size_t first);
/* Adds the statement when there are rows. `extra` (may be NULL) is one more parameter after the columns. The rows stay
 * as they are until the pipeline ran. */
void rows_pipeline(struct rows *rows, struct pg_pipeline *pipeline, const struct pg_statement *statement,
				   const char *extra);
