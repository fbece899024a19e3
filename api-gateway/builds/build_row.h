/* The members that a build has everywhere, from a row of build-get.sql, build-rows.sql or build-list*.sql. */
#pragma once

#include <libpq-fe.h>

#include "common/json/json.h"

void build_row_write(struct json_writer *w, const PGresult *rows, int row);
/* "project": {id, name}. */
void build_row_write_project(struct json_writer *w, const char *id, const char *name);
