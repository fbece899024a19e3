/*
 * kiln.build.requests. A build.requested with a legible build id always becomes a build: what cannot be run is `failed`
 * with class `rejected` (docs/protocol.md section 2). Repeated records change nothing.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/transitions.h"
#include "common/json/json.h"
#include "common/json/schema.h"
#include "common/pg/inbox.h"

enum request_kind { REQUEST_OTHER, REQUEST_BUILD, REQUEST_CANCEL };

struct request {
	enum request_kind kind; /* REQUEST_OTHER: a type that this service does not know: left alone */
	const struct inbox_record *record;
	cJSON *data; /* owned; NULL when it is not legible */
	char build_id[UUID_TEXT_SIZE];
	char project_id[UUID_TEXT_SIZE]; /* "" when not legible */
	const char *refusal;             /* why it cannot be run; in the arena; NULL = it can, by what it says */
};

/* Whether its build goes on from another one. */
bool request_continues(const struct request *request);

/* ERR_INVALID (poison) only when there is no legible build id. `schemas` may lack the type: then only what is used here
 * is looked at. */
int request_read(const struct inbox_record *record, const struct schema_set *schemas, struct arena *arena,
				 struct request *ret_request, struct error *err) MUST_CHECK;
void request_release(struct request *request);

/* What the database says of the request's project. */
enum project_state { PROJECT_UNKNOWN, PROJECT_DELETED, PROJECT_THERE };

enum applied request_apply(const struct transition_context *context, const struct request *request, struct build *build,
						   enum project_state project);
