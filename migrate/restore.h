/*
 * kiln-migrate restore: Postgres has come back from a backup that is older than what Kafka has published
 * (docs/protocol.md section 9, docs/restore.md). Raises the epoch, rolls the trails of the builds that the backup has
 * forward from kiln.build.events, and notes how far the build service has to read again before it may dispatch; it
 * finds the trails of the other builds in restored_events when it reads their requests.
 *
 * No service may run: ERR_CONFLICT when one is connected. Executors may. Run again (also after it was interrupted) it
 * only finds less to do.
 */
#pragma once

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"
#include "common/pg/pg.h"

struct restore_report {
	int64_t epoch;
	int64_t events;  /* published ones that were read */
	int64_t rolled;  /* builds that have got what was missing of their trails */
	int64_t waiting; /* builds that the backup does not have: their requests are read again */
	int64_t broken;  /* trails that cannot be rolled forward: some of their events are not in the log any more */
};

/* The deadline is for finding the brokers, and for each silence of theirs. */
int restore_run(struct pg_conn *conn, const struct kafka_settings *kafka, int64_t timeout_ms,
				struct restore_report *ret_report, struct error *err) MUST_CHECK;
/* One line of JSON. */
void restore_report_write(const struct restore_report *report, struct buffer *line);
