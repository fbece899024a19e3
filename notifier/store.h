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
	size_t rows;      /* at most so many */
	size_t bytes;     /* of bodies, but at least one row */
	size_t per_host;  /* with those under way */
	int64_t claim_ms; /* how long nobody else takes them */
};

/* Claims what is due, oldest first, as attempts that begin now: appends to `ret_claimed`. `under_way` are deliveries
 * whose hosts count. */
int store_claim(struct pg_conn *conn, const struct store_limits *limits, const struct list_node *under_way,
				struct list_node *ret_claimed, size_t *ret_len, struct error *err) MUST_CHECK;

/* Writes the outcomes of deliveries linked by finished_node and gives their claims back. */
int store_record(struct pg_conn *conn, const struct list_node *finished, struct error *err) MUST_CHECK;

/* Milliseconds until the next one is due (may be ≤ 0) among the hosts with room, INT64_MAX when none waits. */
int store_next_due(struct pg_conn *conn, size_t per_host, const struct list_node *under_way, int64_t *ret_ms,
				   struct error *err) MUST_CHECK;
