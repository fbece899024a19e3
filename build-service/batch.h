/*
 * The fold (docs/protocol.md section 2): the records of one inbox transaction, applied per build in memory in offset
 * order, against rows that are locked in statements of their own; each build is written once. Requests first, then
 * results, then worker events: the order between topics is free, and this one loses least.
 *
 * One thread's: the inbox's.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/requests.h"
#include "build-service/results.h"
#include "build-service/service.h"
#include "build-service/worker_events.h"
#include "common/pg/inbox.h"

struct batch;

struct batch *batch_new(struct service *service, struct leases *leases);
/* On the thread that applied, when it does so no more. */
void batch_leave(struct batch *batch);
void batch_free(struct batch *batch);

/* Will these records perhaps be applied in one round trip (direct_may_guess)? */
bool batch_may_be_optimistic(const struct batch *batch, const struct inbox_record *const *records, size_t count);
/* inbox_handler.apply: inside the transaction. */
int batch_apply(struct batch *batch, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				struct error *err) MUST_CHECK;
/* inbox_handler.committed: commands, wake-ups, metrics. */
void batch_committed(struct batch *batch);

/* Early results whose build is there by now: applied in a transaction of its own. For the tick. */
int batch_apply_early(struct batch *batch, struct pg_conn *conn, struct error *err) MUST_CHECK;

/* What the next batch may be decided by, looked at while nobody waits for it. For the tick. */
int batch_look(struct batch *batch, struct pg_conn *conn, struct error *err) MUST_CHECK;

/* Assignments that two heartbeats lacked, of all batches since batch_resent: to be sent again, if they are still as
 * these say. Valid until the next batch_apply. */
const struct fencing_token *batch_resend(const struct batch *batch, size_t *ret_len);
void batch_resent(struct batch *batch);
