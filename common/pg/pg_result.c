#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/pg/pg.h"

/* PQfnumber allocates and folds case: this is called for every cell. As a rule the column is the one after the last
 * that this thread asked for. */
static int column_of(const PGresult *result, const char *name)
{
	static _Thread_local int expected;
	int count = PQnfields(result), column = expected;
	if (column >= count || strcmp(PQfname(result, column), name) != 0) {
		column = 0;
		while (column < count && strcmp(PQfname(result, column), name) != 0)
			column++;
	}
	CHECK(column < count);
	expected = column + 1;
	return column;
}

const char *pg_text(const PGresult *result, int row, const char *column)
{
	int number = column_of(result, column);
	return PQgetisnull(result, row, number) ? NULL : PQgetvalue(result, row, number);
}

int64_t pg_int(const PGresult *result, int row, const char *column, int64_t if_null)
{
	const char *text = pg_text(result, row, column);
	if (text == NULL)
		return if_null;
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	CHECK(errno == 0 && end != text && *end == '\0'); /* not an integer column: a bug */
	return value;
}

bool pg_bool(const PGresult *result, int row, const char *column)
{
	const char *text = pg_text(result, row, column);
	return text != NULL && text[0] == 't';
}

int pg_bytes_from_text(const char *text, struct buffer *out)
{
	CHECK(text[0] == '\\' && text[1] == 'x'); /* not a bytea, or an old bytea_output: a bug */
	size_t len = strlen(text + 2) / 2;
	char *to = buffer_reserve(out, len);
	if (to == NULL)
		return -1;
	CHECK(hex_decode(text + 2, 2 * len, to, len) == 0);
	buffer_commit(out, len);
	return 0;
}

int pg_bytes(const PGresult *result, int row, const char *column, struct buffer *out)
{
	const char *text = pg_text(result, row, column);
	return text != NULL ? pg_bytes_from_text(text, out) : 0;
}

int pg_find_row(const PGresult *result, const char *column, const char *text)
{
	for (int row = 0; row < PQntuples(result); row++) { /* 0 of NULL */
		if (str_equal(pg_text(result, row, column), text))
			return row;
	}
	return -1;
}
