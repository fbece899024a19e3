/*
 * Asks Postgres about keyed ids for the loops, many at once (lookups.h). It answers within about a second, whatever
 * Postgres does; while Postgres is away, at once. Its thread also keeps the gateway's idea of what was applied fresh
 * (recent_builds_applied), and deletes Idempotency-Keys that are outdated.
 */
#pragma once

#include <stdbool.h>

#include "api-gateway/gateway.h"
#include "api-gateway/builds/key_index.h"
#include "api-gateway/requests/lookups.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

struct key_lookups;

int key_lookups_start(struct gateway *gateway, struct key_lookups **ret_lookups, struct error *err) MUST_CHECK;
/* After the loops' threads have ended: ends the thread and frees them. Takes NULL. What is still asked goes back
 * unanswered. */
void key_lookups_stop(struct key_lookups *lookups);

struct key_question {
	char build_id[UUID_TEXT_SIZE];
	int32_t partition;
	int64_t until_ms;   /* clock_boot_ms; asked again until then while there is no row. 0: once */
	struct key_row row; /* the answer */
	void (*answered)(struct key_question *question); /* on the thread, which forgets the question before */
	/* The thread's. */
	struct lookup lookup;
	struct list_node node;
};
/* Any thread. False: too many are waiting. */
bool key_lookups_ask(struct key_lookups *lookups, struct key_question *question) MUST_CHECK;

/* The same for a worker and its own connection. ERR_…: as pg_query. */
int key_lookups_query(struct pg_conn *conn, const char *build_id, int32_t partition, struct key_row *ret_row,
					  struct error *err) MUST_CHECK;
