/* Shared inside of the outbox only. */
#pragma once

#include "common/pg/outbox.h"

/* How one round of the relay ended. */
struct outbox_round_result {
	size_t rows;      /* selected */
	size_t published; /* acknowledged, to be deleted */
	size_t failed;    /* not acknowledged: they stay */
	size_t blocked;   /* of these: can never be published as they are, or come after such a row of their key */
};

/*
 * Produces the rows of `result` (outbox_select) in their order, waits for the acknowledgements, and adds to `ids` those
 * that may be deleted: the acknowledged ones, up to the first of their key that was not. Gives up (ERR_CANCELLED) when
 * `stopping` has been set for a while.
 */
int outbox_round(struct kafka_producer *producer, const PGresult *result, const _Atomic bool *stopping,
				 struct pg_array *ids, struct outbox_round_result *ret_result, struct error *err) MUST_CHECK;

/* One row as a Kafka message. */
struct outbox_message {
	struct kafka_message message;
	struct cloudevent event;
	rd_kafka_headers_t *headers; /* owned; NULL unless the row brings its own */
	struct buffer key, body;     /* owned */
};
void outbox_message_init(struct outbox_message *message);
void outbox_message_release(struct outbox_message *message);
/* ERR_INVALID when the row's "record" cannot be read. The content is good until the next read or the result's end. */
int outbox_message_read(struct outbox_message *message, const PGresult *result, int row, struct error *err) MUST_CHECK;
