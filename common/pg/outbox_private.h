/* Shared inside of the outbox only. */
#pragma once

#include "common/pg/outbox.h"

/* How one round of the relay ended. */
struct outbox_round_result {
	size_t events;    /* selected */
	size_t published; /* acknowledged, and to go from the outbox */
	size_t failed;    /* not acknowledged: they stay */
	size_t blocked;   /* of these: can never be published as they are, or come after such an event of their key */
};

/* What may go from the outbox. */
struct outbox_done {
	struct pg_array ids;                   /* whole rows */
	struct pg_array part_ids, part_builds; /* builds that may go from rows that stay for the sake of others: pairs */
};
void outbox_done_init(struct outbox_done *done, size_t events);
void outbox_done_release(struct outbox_done *done);

/*
 * Produces the events of `result` (outbox_select) in their order, waits for the acknowledgements, and adds to `done`
 * what may go: what was acknowledged, up to the first of its key that was not. Gives up (ERR_CANCELLED) when `stopping`
 * has been set for a while.
 */
int outbox_round(struct kafka_producer *producer, const PGresult *result, const _Atomic bool *stopping,
				 struct outbox_done *done, struct outbox_round_result *ret_result, struct error *err) MUST_CHECK;

/* One event as a Kafka message. */
struct outbox_message {
	struct kafka_message message;
	struct cloudevent event;
	rd_kafka_headers_t *headers; /* owned; NULL unless the row brings its own */
	struct buffer key, body;     /* owned */
};
void outbox_message_init(struct outbox_message *message);
void outbox_message_release(struct outbox_message *message);
/* ERR_INVALID when the row's "record" cannot be read, ERR_INTERNAL when the event that it names is not there. The
 * content is good until the next read or the result's end. */
int outbox_message_read(struct outbox_message *message, const PGresult *result, int row, struct error *err) MUST_CHECK;
