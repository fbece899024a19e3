/*
 * "Is there such a build?", answered by Postgres' row, else by the gateway's own tail, else by a proof of absence
 * (docs/contract.md, Read your writes):
 *
 *   The end E of the id's request partition is found by a record of our own (read_barrier.h). 404 takes one Postgres
 *   snapshot that has no row of the build, and in which all records below E are applied; or those below some N, while
 *   the tail has seen all from N to E. Postgres and the tail are looked at meanwhile: the build may appear.
 *   Until there is one the request waits, a second at most (for E half of one), and is 503 then; it is 503 at once
 *   while others have waited in vain, and enough of them wait again (wait_limit.h).
 *
 * The tail's word is "pending", and counts beside a Postgres that answers and has no row. While Postgres does not, the
 * build may have been applied, and shown by another gateway as more: nothing is shown of it but 503, for a status once
 * shown never goes back.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>

#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/json/json.h"

struct build_found {
	PGresult *row;  /* of build-get.sql, row 0; or NULL */
	cJSON *request; /* the data of build.requested, of a build that is not in Postgres yet; or NULL */
	const char *project_name;
};

void build_found_release(struct build_found *found);

/* Worker. Looks for request->param. -1: request->answer is made (404 or 503). */
int build_lookup(struct request *request, struct db *db, struct build_found *ret_found) MUST_CHECK;
/* Worker: takes a connection if it can, then looks. */
int build_lookup_taking(struct request *request, struct db *ret_db, struct build_found *ret_found) MUST_CHECK;
/* The same for whom it is enough that there is the build, and that nobody here has heard of its end: while Postgres is
 * away, the tail's word is taken, unless the build is known to have a row. `db` may be without a connection then. */
int build_lookup_to_wish(struct request *request, struct db *ret_db, struct build_found *ret_found) MUST_CHECK;

/*
 * Worker. Every build that was accepted before this call is a row when it returns 0: waits for all request partitions
 * to be applied up to their ends (barriers count for nothing), one second at most. -1: request->answer is 503.
 */
int build_lookup_wait_applied(struct request *request, struct db *db) MUST_CHECK;

/* Of either form. */
const char *build_found_status(const struct build_found *found);
bool build_found_ended(const struct build_found *found);
bool build_status_ended(const char *status);
