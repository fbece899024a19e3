/*
 * The stuck-blocker watch (docs/protocol.md section 2): an instance that is frozen between two statements keeps its row
 * locks past all time-outs of its own, so whoever waits for them has to end that session. A thread with a connection of
 * its own looks at connections whose call has been under way for more than 2 s: among the sessions of its own role that
 * block them, directly or indirectly, those that in two looks 1 s apart wait for their client in the same statement are
 * ended. Nobody else is.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

struct pg_watch;

#define PG_WATCH_MAX 16

int pg_watch_new(const struct pg_settings *settings, struct pg_watch **ret_watch, struct error *err) MUST_CHECK;
/* Stops the thread. The connections stay the caller's. */
void pg_watch_free(struct pg_watch *watch);
/* Any thread. At most PG_WATCH_MAX; remove before the connection is freed. */
void pg_watch_add(struct pg_watch *watch, const struct pg_conn *conn);
void pg_watch_remove(struct pg_watch *watch, const struct pg_conn *conn);
