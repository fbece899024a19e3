/*
 * What happens to projects, for kiln.project.events (schemas/common.json, project_event): the gateway tells of what its
 * clients do, the build service of provisional projects that it removes. Rows have the columns of
 * api-gateway/sql/project-*.sql.
 */
#pragma once

#include "common/json/json.h"
#include "common/pg/outbox.h"
#include "common/pg/pg.h"

/* Members of a project, as it is answered too: what it is (`git_base_url`: common/model/project.h), and when and in
 * which version. */
void project_identity_write(struct json_writer *w, const char *git_base_url, const PGresult *rows, int row);
void project_history_write(struct json_writer *w, const PGresult *rows, int row);

struct project_teller {
	const char *source;
	const char *git_base_url, *traceparent; /* may be NULL */
};
/* Adds project.created, project.changed or project.deleted, with the row's last_sequence. */
void project_event_add(struct outbox_rows *events, const struct project_teller *teller, const char *type,
					   const PGresult *rows, int row);
