/* Projects as they are answered, as they are announced (kiln.project.events), and as they are posted. */
#pragma once

#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/base/hash.h"
#include "common/pg/pg.h"

/* The members of schemas/rest/project.json, from a row of project-*.sql. */
void project_row_write(struct json_writer *w, const struct gateway_config *config, const PGresult *rows, int row);

/* project.created, project.changed or project.deleted into the outbox, in the transaction that made the row. */
int project_row_announce(struct request *request, struct pg_conn *tx, const PGresult *rows, const char *type,
						 struct error *err) MUST_CHECK;

/* What a body gives a project: text for the statements. Release it. */
struct project_values {
	const char *name, *git_url, *branch, *credential; /* of the body; NULL: not set */
	char *concurrency;
	struct buffer agent;    /* with every field; empty: none */
	struct buffer network;  /* {allow}; empty: it names nothing */
	struct buffer settings; /* {description, metadata} */
};
/* `body`: the schema has taken it, or it is such a project with such a patch. */
void project_values_from(struct project_values *values, const cJSON *body);
void project_values_release(struct project_values *values);

/* Rules beyond the schema, for POST /projects and the project of create-and-build: after the schema's, as
 * build_request_check. `pointer`: "" or "/project". */
void project_check(const struct gateway *gateway, const cJSON *body, const char *pointer,
				   struct schema_problems *problems);
/* Of it, what a merge patch can be told before the project that it is for is known: the places that it names. */
void project_check_places(const struct gateway *gateway, const cJSON *body, const char *pointer,
						  struct schema_problems *problems);
/* For one that will be as `body` says: without a git_url there must be a base. */
void project_check_base(const struct gateway *gateway, const cJSON *body, const char *pointer,
						struct schema_problems *problems);

#define WEBHOOK_SECRET_BYTES 32
struct project_secret {
	uint8_t bytes[WEBHOOK_SECRET_BYTES];
	char hex[2 * WEBHOOK_SECRET_BYTES + 1];
	char shown[64]; /* whsec_… */
};
void project_secret_make(struct project_secret *ret);
/* The one of a project, for the token that made it; *ret_found false: another one did. Only while the project is
 * provisional: whoever made it may not have been told yet. */
int project_secret_read(struct pg_conn *conn, const char *id, const char *token_id, struct project_secret *ret,
						bool *ret_found, struct error *err) MUST_CHECK;

/*
 * Inserts a project (provisional_build NULL: for good) with its project.created, and commits, unless `conn` is in a
 * transaction of the caller's. 0 with *ret_rows; *ret_taken: the name was taken, nothing happened. Its commit is as
 * audit_commit.
 */
int project_row_insert(struct request *request, struct pg_conn *conn, const char *id,
					   const struct project_values *values, const struct project_secret *secret,
					   const char *provisional_build, PGresult **ret_rows, bool *ret_taken,
					   struct error *err) MUST_CHECK;
/* After the commit: the gateway knows the project, the outbox's relay is woken. */
void project_row_made(struct request *request, struct pg_conn *conn, const PGresult *rows);
