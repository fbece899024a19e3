/*
 * The outbox (docs/protocol.md section 3): events become rows in the writer's transaction and go to Kafka from there,
 * in order of a per-key sequence that was taken under the key's row lock. At least once; first occurrences in order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/producer.h"
#include "common/pg/pg.h"

/* Rows collected for one multi-row INSERT (order = order of adding; per key by rising sequence). */
struct outbox_rows {
	struct pg_array shard, topic, key, sequence, ce_id, type, source, time, hash, traceparent, body;
	size_t len;
};
void outbox_rows_init(struct outbox_rows *rows, size_t max_bytes);
void outbox_rows_release(struct outbox_rows *rows);
/* body: the exact bytes of the Kafka value. The shard is the topic partition of the key. */
void outbox_rows_add(struct outbox_rows *rows, const char *topic, const char *key, int64_t sequence, const char *ce_id,
					 const char *type, const char *source, const char *time, const char *hash_hex,
					 const char *traceparent, const void *body, size_t body_len);
/* Inside the writer's transaction. Nothing to do when empty. */
int outbox_rows_insert(struct outbox_rows *rows, struct pg_conn *tx, struct error *err) MUST_CHECK;

/*
 * The relay: one thread per instance of the build service. Selects rows of the shards it owns ordered by id (without
 * looking at running transactions), produces their events, waits for the acknowledgements, deletes by the list of
 * acknowledged ids, repeats until empty; then sleeps until woken or 1 s. Shards of which Kafka says nothing for 1 s are
 * left out until it does. A row is an event (outbox_rows above), or it names events of builds
 * (migrations/0015_outbox_names.sql), which are read from the trail when they were not committed here a moment ago.
 * NOTIFY from other instances and services (channel kiln_outbox) wakes it: it LISTENs on its own connection.
 */
struct outbox_relay;

struct outbox_relay_options {
	struct pg_settings pg;
	struct kafka_producer
		*producer; /* the caller's; must outlive the relay; idempotent, gapless, message_timeout_ms 0 */
	size_t batch;  /* events a select, e.g. 1000; a row that names some is not divided */
};
int outbox_relay_new(const struct outbox_relay_options *options, struct outbox_relay **ret_relay,
					 struct error *err) MUST_CHECK;
/* Stops the thread after the batch under way, which takes no longer than its statements and a second. */
void outbox_relay_free(struct outbox_relay *relay);
/* Which shards are mine (bit mask). Any thread. Shards are the partitions of the widest topic that goes through the
 * outbox. */
#define OUTBOX_SHARDS 12
void outbox_relay_own(struct outbox_relay *relay, uint64_t shards);
/* Events of builds that the caller's transaction has named in the outbox. The body's bytes, the hash (SHA-256) and the
 * texts are the trail's; traceparent may be NULL. */
struct outbox_committed {
	const char *build_id;
	int32_t sequence;
	const char *type, *traceparent;
	const uint8_t *hash;
	const void *body;
	size_t body_len;
};
/* Lets the relay skip reading these events from the trail: copies are kept for a moment. Only after the commit is
 * known, and before outbox_relay_wake. Any thread. */
void outbox_relay_keep(struct outbox_relay *relay, const struct outbox_committed *events, size_t len);
/* After a commit that wrote outbox rows. Any thread; cheap; coalesced. Also wakes the other instances (NOTIFY) when not
 * all shards are mine. */
void outbox_relay_wake(struct outbox_relay *relay);

/* For services that do not relay (gateway, notifier): wakes the relays by NOTIFY in a one-statement transaction of its
 * own, coalesced, one in flight at most. */
int outbox_notify(struct pg_conn *conn, struct error *err) MUST_CHECK;
