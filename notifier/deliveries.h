/*
 * The thread that delivers. It claims due rows (several instances share the table; a claim outlives its attempt and
 * ends by itself when an instance dies), sends them, records outcomes in batches. It sleeps until it is woken (rows
 * were inserted, an attempt ended) or the next row is due.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_guard.h"
#include "common/pg/pg.h"
#include "notifier/schedule.h"

struct deliveries;

struct deliveries_options {
	struct pg_settings pg;
	const struct address_guard *guard; /* must outlive it */
	struct schedule schedule;
	int timeout_ms; /* of one attempt */
	size_t in_flight, per_host;
};

int deliveries_new(const struct deliveries_options *options, struct deliveries **ret_deliveries,
				   struct error *err) MUST_CHECK;
/* Claims nothing more, lets attempts under way end until the deadline (clock_boot_ms), breaks off the rest, records it
 * all, ends the thread; deliveries_free comes after it, for others may still wake or ask. Once; not NULL. */
void deliveries_stop(struct deliveries *deliveries, int64_t deadline_ms);
void deliveries_free(struct deliveries *deliveries); /* after deliveries_stop */
/* Rows were committed. Any thread. */
void deliveries_wake(struct deliveries *deliveries);
/* Any thread, for /readyz. */
bool deliveries_ready(void *deliveries, struct buffer *why);
