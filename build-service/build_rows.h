/* One row of build_audit, build_attempts or build_queue to and from struct build: the one place that knows the columns'
 * order in read_builds.sql, insert_builds.sql and their like. */
#pragma once

#include "build-service/build.h"
#include "common/base/arena.h"
#include "common/pg/rows.h"

#define BUILD_INSERT_COLUMNS 28
#define BUILD_REQUEST_COLUMNS 4
#define BUILD_UPDATE_COLUMNS 22
#define ATTEMPT_INSERT_COLUMNS 7
#define ATTEMPT_UPDATE_COLUMNS 7
#define QUEUE_INSERT_COLUMNS 11

/* CHECKs that the result of read_builds.sql has the columns in the expected order. */
void build_rows_check(const PGresult *rows);
const char *build_rows_id(const PGresult *rows, int row);
/* Fills everything but id. Long texts go into the arena. */
void build_rows_read(const PGresult *rows, int row, struct arena *arena, struct build *build);

/* `time`: of the transaction. */
void build_rows_add_insert(struct rows *rows, const struct build *build, const char *time);
void build_rows_add_update(struct rows *rows, const struct build *build, const char *time);
void build_rows_add_request(struct rows *rows, const struct build *build);
void build_rows_add_attempt(struct rows *rows, const struct build *build);
void build_rows_add_attempt_change(struct rows *rows, const struct build *build);
void build_rows_add_queued(struct rows *rows, const struct build *build);
