/*
 * The inbox's side: terminal events of kiln.build.events become rows of webhook_deliveries in the transaction that
 * moves the offset, so a webhook is owed exactly when the event was read. Everything here runs on the inbox's thread.
 */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/inbox.h"
#include "notifier/deliveries.h"

struct events {
	struct deliveries *deliveries; /* woken after commits */
	int64_t first_delay_ms;        /* of the schedule */
	bool inserted;                 /* by the last apply */
};

/* inbox_handler's functions; ctx is a struct events. */
int events_apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err) MUST_CHECK;
/* Most builds have no callback_url, and nothing is made of their events: which have one is asked before. */
bool events_ask_first(void *ctx, const struct inbox_record *const *records, size_t count);
void events_committed(void *ctx, const struct inbox_record *const *records, size_t count);
