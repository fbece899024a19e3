/*
 * Retention: a thread that removes what is older than it needs to be, in small transactions with a rest after each, so
 * that nobody waits for it. All instances run one; a transaction-scoped advisory lock for each task lets one of them at
 * a time at it (who does not get it leaves that task to the other). Errors are logged and the task is tried again in
 * the next round.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/pg/pg.h"
#include "common/pg/watch.h"

/* One kind of rows. The statements must look at no more than what they remove, whatever is there. */
struct retention_task {
	const char *lock; /* the name that its advisory lock is made of */
	int64_t days;
	/*
	 * With `find`: $1 days; gives `found` and `ids`, an array's text. `locks` then takes $1 ids, so that what comes
	 * next sees what the last writers have committed, and `removes` takes $1 ids, $2 days. Without: `removes` takes $1
	 * days. It gives `removed`. The limits are in the statements: a plan for any number would look at everything.
	 */
	const struct pg_statement *find, *locks, *removes;
	struct metric *removed;  /* a RETENTION_REMOVED */
	struct metric *last_run; /* a RETENTION_LAST_RUN: not when another instance was at it */
};

/* Series of a task, in static storage, registered by retention_start; `what_` is a string literal. */
#define RETENTION_REMOVED(what_)                                                                                       \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = "kiln_retention_removed_total", .help = "Rows removed because of their age.",  \
		.labels = "what=\"" what_ "\""                                                                                 \
	}
#define RETENTION_LAST_RUN(what_)                                                                                      \
	{                                                                                                                  \
		.kind = METRIC_GAUGE, .name = "kiln_retention_last_run_timestamp_seconds",                                     \
		.help = "When this instance last found nothing more to remove.", .labels = "what=\"" what_ "\""                \
	}

struct retention_options {
	struct pg_settings pg;              /* the time-outs of statements and locks are the job's own, shorter ones */
	struct pg_watch *watch;             /* NULL: none */
	const struct retention_task *tasks; /* copied */
	size_t tasks_len;
	int64_t every_s; /* between two looks */
};

struct retention;

int retention_start(const struct retention_options *options, struct retention **ret_retention,
					struct error *err) MUST_CHECK;
/* Ends the thread after the transaction that is under way, and frees it. Takes NULL. */
void retention_stop(struct retention *retention);
