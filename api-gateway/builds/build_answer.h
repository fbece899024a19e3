/* What a GET of a build answers, for all who give that answer: its handler, those that wait for it (build_wait.h), and
 * who reads many at once (build_reads.h). */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/requests/request.h"
#include "common/base/compiler.h"

/* Worker: makes request->answer as GET /builds/{id} of request->param does. True: the build is there and has ended. */
bool build_answer(struct request *request);
/* Worker: the whole answer of GET /builds/{id}. */
void build_read(struct request *request);
/* The same from a row of build-rows.sql, read after `read_ms` (clock_boot_ms), by whoever has it. False: the token
 * does not see its project. */
bool build_read_from_row(struct request *request, const PGresult *rows, int row, int64_t read_ms) MUST_CHECK;
