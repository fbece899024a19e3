/* The rows of webhook_deliveries and webhook_attempts, statement by statement; see sql/. Each call is one round trip.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/list.h"
#include "common/pg/pg.h"
#include "notifier/delivery.h"

struct store_limits {
	size_t rows;                       /* at most so many */
	size_t bytes;                      /* of bodies, but at least one row */
	size_t per_host;                   /* with those under way */
	size_t host_bytes;                 /* of one host's bodies, with those under way, but at least one */
	size_t per_project, project_bytes; /* the same of one project */
	int64_t claim_ms;                  /* how long nobody else takes them */
};

struct store_claim {
	struct list_node deliveries;
	size_t len;
	int64_t next_ms; /* until the next claim may find something, INT64_MAX: nothing waits */
};

/* Claims what is due, oldest first, as attempts that begin now. `under_way` are deliveries whose hosts and projects
 * count. `*walk` (heap, NULL at first) is how far these claims have come in looking past those without room. */
int store_claim(struct pg_conn *conn, const struct store_limits *limits, const struct list_node *under_way, char **walk,
				struct store_claim *ret_claim, struct error *err) MUST_CHECK;

/* Writes the outcomes of deliveries linked by finished_node and gives their claims back. After an error it may be
 * called again with the same ones, also when the first call was committed. */
int store_record(struct pg_conn *conn, const struct list_node *finished, struct error *err) MUST_CHECK;
