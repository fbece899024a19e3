/*
 * How far the log store has come with a build's log. It applies Kafka's records by itself (build-service/log_store.h), so
 * a build may have ended in Postgres while its last lines are not there yet. They are in Kafka before its end is told:
 * its log is whole when everything was applied that is below where its partition ends, wherever that is after the
 * build's end. Workers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct gateway;
struct pg_conn;

struct log_progress {
	bool build_ended;
	int64_t applied; /* everything below it is in what is read afterwards */
};

int log_progress_read(struct pg_conn *conn, const char *build_id, struct log_progress *ret_progress,
					  struct error *err) MUST_CHECK;
/* Where the build's partition ends. Half a second at most. ERR_UNAVAILABLE: Kafka does not tell. */
int log_progress_end(struct gateway *gateway, const char *build_id, int64_t *ret_end, struct error *err) MUST_CHECK;
/*
 * Of a build that has ended: waits until its log is whole; a second at most, and less than a request has; not at all
 * while others wait in vain (gateway->log_waits). When that is over, or Kafka does not tell the end, it is 0 all the
 * same, and what is read then is what there is. -1: Postgres'.
 */
int log_progress_wait(struct gateway *gateway, struct pg_conn *conn, const char *build_id,
					  struct error *err) MUST_CHECK;
