/*
 * kiln-migrate rewind: the way back from a partition that an inbox has stopped (docs/protocol.md section 2), because
 * the log is no more the one that was read: it is shorter than the offset, the record before the offset is another, or
 * the cluster is. Such a consumer begins again at the log's start; what it has applied already changes nothing, because
 * every effect has a key of its own. Offsets that are sound stay. Services may run: they look at stopped partitions
 * every ten seconds.
 *
 * A log that begins above the offset has lost records that nobody has read. Going on is then for a person to decide:
 * without `accept_loss` such a partition is named and left alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"
#include "common/pg/pg.h"

/* *ret_refused: the partitions that were left stopped because records are lost. */
int rewind_offsets(struct pg_conn *conn, const struct kafka_settings *kafka, bool accept_loss, int64_t deadline_ms,
				   int *ret_refused, struct error *err) MUST_CHECK;
