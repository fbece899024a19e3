/*
 * A thread with a connection of its own that asks Postgres for others, many at once: who asks puts a question into its
 * queue, and what waits there is one batch, one statement. While a batch is under way the next one gathers, so that it
 * asks for more at once the more is asked. Nobody waits for a Postgres that is known to be away. What is asked is its
 * owner's business (key_lookups.c, build_reads.c).
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api-gateway/gateway.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

#define LOOKUPS_BATCH_MAX 256

struct lookups;

/* A question; embedded in what it is about. */
struct lookup {
	int64_t outdated_ms; /* set before it is asked (clock_boot_ms): not asked any more from then on */
};

/* All on the thread. A question is the owner's again when it is given to look_up or to give_up, by one call each. */
struct lookups_owner {
	const char *thread_name; /* for people who look at threads; 15 characters at most */
	const char *application_name;
	size_t queue_max, batch_max; /* LOOKUPS_BATCH_MAX at most */
	int call_timeout_ms;
	int gather_us; /* after the beginning of a batch of several the next one gathers for so long; 0: not at all */
	void (*look_up)(void *ctx, struct lookup *const *batch, size_t count);
	void (*give_up)(void *ctx, struct lookup *const *batch, size_t count); /* away, or outdated */
	/* Whatever else it does, between batches: returns for how many milliseconds it may wait for questions. May be NULL.
	 */
	int (*turn)(void *ctx);
	void *ctx;
};

int lookups_start(struct gateway *gateway, const struct lookups_owner *owner, struct lookups **ret_lookups,
				  struct error *err) MUST_CHECK;
/* After those who ask are gone: ends the thread and frees them. Takes NULL. What is still asked is given up, as
 * outdated. */
void lookups_stop(struct lookups *lookups);

/* Any thread. As many of the first ones as there is room for; returns how many. */
size_t lookups_ask(struct lookups *lookups, struct lookup *const *questions, size_t count) MUST_CHECK;

/* The thread. Whether Postgres is away, by the caches' look or by two statements in a row that it said nothing to. */
bool lookups_away(const struct lookups *lookups);
/* The thread: one statement. A failure is logged as `what`. */
int lookups_query(struct lookups *lookups, const struct pg_statement *statement, const char *const *params,
				  size_t params_len, PGresult **ret_result, const char *what) MUST_CHECK;

/* The row whose column "id" is the id; -1: none. It is looked for at `place` first: where the statement has a row for
 * each question, that is its place as a rule (Postgres promises no order). */
int lookups_find_row(const PGresult *result, const char *id, size_t place);
