/* Shared inside of the outbox only. */
#pragma once

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/wakeup.h"
#include "common/pg/outbox.h"
#include "common/pg/outbox_recent.h"

/* An event as it goes to Kafka. Texts are the batch's; NULL where there is nothing. */
struct outbox_event {
	const char *row; /* the id of the outbox row that holds or names it */
	const char *topic, *key, *ce_id, *type, *source, *time, *hash, *traceparent;
	int shard; /* below OUTBOX_SHARDS */
	int64_t sequence;
	const char *record; /* of a dead letter: its own key and headers */
	const char *text;   /* NULL: see body */
	size_t text_len;
	const char *body;                   /* bytea as text; neither: the trail lacks it */
	struct outbox_recent_event *recent; /* owned */
	char key_text[UUID_TEXT_SIZE], ce_id_text[64], hash_text[2 * SHA256_SIZE + 1];
};

/* The events of one round, in order: by row id, and of a named build by sequence. */
struct outbox_batch {
	struct outbox_recent *recent; /* the relay's */
	struct outbox_event *events;
	size_t len;
	bool cut; /* it ended by its bytes: there may be more rows */
	PGresult *rows, *trail;
};
/* The next rows of the shards, up to about `limit` events and `bytes` of bodies, into an empty batch. Release it in any
 * case. */
int outbox_batch_load(struct outbox_batch *batch, struct pg_conn *conn, const char *shards, size_t limit, size_t bytes,
					  struct error *err) MUST_CHECK;
/* Of each event only its row, shard, topic and key stay. */
void outbox_batch_drop_bodies(struct outbox_batch *batch);
void outbox_batch_release(struct outbox_batch *batch);

/* A round: a batch whose events were produced, and what became of them. The relay's thread's. */
struct outbox_round;

/* What has become of some events of a round. */
struct outbox_round_result {
	size_t published; /* acknowledged, and to go from the outbox */
	size_t failed;    /* not acknowledged: they stay */
	size_t blocked;   /* of these: can never be published as they are, or come after such an event of their key */
};

/* What may go from the outbox. */
struct outbox_done {
	struct pg_array ids;                   /* whole rows */
	struct pg_array part_ids, part_builds; /* builds that may go from rows that stay for the sake of others: pairs */
};
void outbox_done_init(struct outbox_done *done, const struct outbox_round *round);
void outbox_done_release(struct outbox_done *done);

/* Produces the events of the batch in their order. The batch's content is the round's then. `reported`, which outlives
 * it, is signalled when a shard that was waited for in vain has its reports. */
struct outbox_round *outbox_round_start(struct kafka_producer *producer, struct outbox_batch *batch,
										struct wakeup *reported);
/* Waits for all reports, for a second at most. */
void outbox_round_wait(struct outbox_round *round);
/* Adds to `done` what may go, of the shards whose reports are all there and were not when it was called before: what
 * was acknowledged, up to the first of its key that was not. */
void outbox_round_settle(struct outbox_round *round, struct outbox_done *done, struct outbox_round_result *ret_result);
/* The shards that are to be settled yet. Nothing of them may be produced before they are. */
uint64_t outbox_round_waits_for(const struct outbox_round *round);
/* Reports may be still to come. Takes NULL. */
void outbox_round_free(struct outbox_round *round);

/* One event as a Kafka message. */
struct outbox_message {
	struct kafka_message message;
	struct cloudevent event;
	rd_kafka_headers_t *headers; /* owned; NULL unless the row brings its own */
	struct buffer key, body;     /* owned */
};
void outbox_message_init(struct outbox_message *message);
void outbox_message_release(struct outbox_message *message);
/* ERR_INVALID when the event's "record" cannot be read, ERR_INTERNAL when it is not in the trail. The content is good
 * until the next read or the batch's end. */
int outbox_message_read(struct outbox_message *message, const struct outbox_event *event, struct error *err) MUST_CHECK;
