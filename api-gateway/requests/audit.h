/*
 * Who wrote what (GET /audit). A handler that writes to Postgres notes it, and the row is committed with the write.
 * Builds and cancels go through Kafka: their records carry the same facts as their origin, and Postgres gets them from
 * the build service, so that a POST of a build waits for nothing. Writes that were refused changed nothing: they are in
 * the log.
 */
#pragma once

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/json/json.h"
#include "common/pg/pg.h"

struct request;

/* What a request has written; zeroed: nothing. */
struct audit_note {
	const char *outcome, *type; /* static */
	char resource[80];
};

/* `outcome` and `type` are static: "created", "project". */
void audit_note(struct request *request, const char *outcome, const char *type, const char *resource);

/* The row of the note, for a statement that is run later: it points into itself and the request. */
#define AUDIT_PARAMS 8
struct audit_row {
	char id[UUID_TEXT_SIZE], route[96];
	const char *params[AUDIT_PARAMS];
};
/* Adds it to a pipeline; nothing when nothing was noted. `row` must live until that ran. */
void audit_add(const struct request *request, struct audit_row *row, struct pg_pipeline *pipeline);
/* Worker: commits with the row, in one round trip. As pg_commit; ERR_CANCELLED: the request was given up (lend.h), and
 * the transaction is the caller's to roll back. */
int audit_commit(struct request *request, struct pg_conn *tx, struct error *err) MUST_CHECK;

/* "origin": {route, request_id, address}, for records. */
void audit_write_origin(struct json_writer *w, const struct request *request);
