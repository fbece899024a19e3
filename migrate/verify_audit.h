/*
 * kiln-migrate verify-audit: is every build's trail whole? Each event's hash follows from the event before it,
 * sequences have no gap, an event's body says what its row says, a loss that tells the end is followed by it, nothing
 * follows the terminal event but late commits, and the build's row names the trail's end. Looks at one snapshot, so
 * services may run meanwhile; keeps some pages of rows in memory, however long the trails are.
 *
 * What it cannot see: a trail whose every later hash, and the build's row, were written anew. Those who read
 * kiln.build.events have the hashes as they were.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

struct audit_verdict {
	int64_t builds, events; /* looked at */
	/* The first broken link in the order of build id and sequence; NULL: none. Static text:
	 * "missing" (a sequence is not there), "hash", "body" (says something else than its row), "after_end", "no_build",
	 * "end" (the build's row names another last event), "no_terminal" (the build has ended, by its row or by a loss,
	 * and its trail has not). */
	const char *broken;
	char build_id[40];
	int64_t sequence; /* where the link is broken */
};

/* `conn` outside of a transaction. An error: it could not be looked at. */
int verify_audit(struct pg_conn *conn, struct audit_verdict *ret_verdict, struct error *err) MUST_CHECK;
/* One line of JSON, with its end. */
void audit_verdict_write(const struct audit_verdict *verdict, struct buffer *line);
