/* The events of the next outbox rows: those that rows hold, and those that they name, which are taken from what was
 * committed here a moment ago, or read from the trail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/pg/outbox_private.h"
#include "kiln_pg_sql.h"

#define NAMES_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* What a row names, one build after the other: places in the texts of three arrays that hold no quotes. */
struct names {
	const char *build, *first, *last;
};

/* One name, and where its events begin. */
struct name {
	char build_id[UUID_TEXT_SIZE];
	int32_t first, last;
	size_t event;
};

static struct names names_of(const PGresult *rows, int row)
{
	return (struct names){pg_text(rows, row, "build_ids"), pg_text(rows, row, "first_sequences"),
						  pg_text(rows, row, "last_sequences")};
}

/* '{' or ',' stands before each element. */
static int32_t next_number(const char **at)
{
	char *end;
	long value = strtol(*at + 1, &end, 10); /* Postgres wrote it */
	*at = end;
	return (int32_t)value;
}

static bool next_name(struct names *names, struct name *ret)
{
	if (names->build[0] == '}' || strcmp(names->build, "{}") == 0)
		return false;
	memcpy(ret->build_id, names->build + 1, UUID_TEXT_SIZE - 1);
	ret->build_id[UUID_TEXT_SIZE - 1] = '\0';
	names->build += UUID_TEXT_SIZE;
	ret->first = next_number(&names->first);
	ret->last = next_number(&names->last);
	CHECK(ret->first >= 1 && ret->last >= ret->first);
	return true;
}

static size_t count_events(const PGresult *rows)
{
	size_t count = 0;
	for (int row = 0; row < PQntuples(rows); row++) {
		struct names names = names_of(rows, row);
		struct name name;
		count += names.build == NULL;
		while (names.build != NULL && next_name(&names, &name))
			count += (size_t)(name.last - name.first) + 1;
	}
	return count;
}

static int64_t size_of(const PGresult *rows)
{
	int64_t size = 0;
	for (int row = 0; row < PQntuples(rows); row++)
		size += pg_int(rows, row, "size", 0);
	return size;
}

static void add_held(struct outbox_batch *batch, int row)
{
	const PGresult *rows = batch->rows;
	struct outbox_event *event = &batch->events[batch->len++];
	event->ce_id = pg_text(rows, row, "ce_id");
	event->key = pg_text(rows, row, "key");
	event->sequence = pg_int(rows, row, "sequence", 0);
	event->type = pg_text(rows, row, "type");
	event->hash = pg_text(rows, row, "hash");
	event->traceparent = pg_text(rows, row, "traceparent");
	event->record = pg_text(rows, row, "record");
	event->text = pg_text(rows, row, "text");
	event->text_len = event->text == NULL ? 0 : strlen(event->text);
	event->body = pg_text(rows, row, "body");
}

static void take_recent(struct outbox_event *event, struct outbox_recent_event *recent)
{
	event->recent = recent;
	event->type = recent->type;
	event->traceparent = recent->traceparent;
	event->text = recent->body;
	event->text_len = recent->body_len;
	hex_encode(recent->hash, SHA256_SIZE, event->hash_text);
	event->hash = event->hash_text;
}

/* Returns false when some of its events must be read. */
static bool add_named(struct outbox_batch *batch, const struct name *name)
{
	bool whole = true;
	for (int32_t sequence = name->first; sequence <= name->last; sequence++) {
		struct outbox_event *event = &batch->events[batch->len++];
		event->sequence = sequence;
		memcpy(event->key_text, name->build_id, sizeof(event->key_text));
		event->key = event->key_text;
		(void)snprintf(event->ce_id_text, sizeof(event->ce_id_text), "build/%s/%d", name->build_id,
					   (int)sequence); /* fits */
		event->ce_id = event->ce_id_text;
		struct outbox_recent_event *recent = outbox_recent_take(batch->recent, name->build_id, sequence);
		if (recent != NULL)
			take_recent(event, recent);
		whole &= recent != NULL;
	}
	return whole;
}

/* The names whose events must be read: as parameters, and as they are. */
struct missing {
	struct pg_array build_ids, first, last;
	struct name *names;
	size_t len;
};

static void missing_init(struct missing *missing, size_t max)
{
	pg_array_init_binary(&missing->build_ids, PG_UUID, NAMES_MAX_BYTES);
	pg_array_init_binary(&missing->first, PG_INT4, NAMES_MAX_BYTES);
	pg_array_init_binary(&missing->last, PG_INT4, NAMES_MAX_BYTES);
	missing->names = xcalloc(max + 1, sizeof(*missing->names));
	missing->len = 0;
}

static void missing_release(struct missing *missing)
{
	pg_array_release(&missing->build_ids);
	pg_array_release(&missing->first);
	pg_array_release(&missing->last);
	free(missing->names);
}

static void add_row(struct outbox_batch *batch, int row, struct missing *missing)
{
	size_t from = batch->len;
	struct names names = names_of(batch->rows, row);
	struct name name;
	if (names.build == NULL)
		add_held(batch, row);
	while (names.build != NULL && next_name(&names, &name)) {
		name.event = batch->len;
		if (add_named(batch, &name))
			continue;
		missing->names[missing->len++] = name;
		pg_array_add(&missing->build_ids, name.build_id);
		pg_array_add_int(&missing->first, name.first);
		pg_array_add_int(&missing->last, name.last);
	}
	int64_t shard = pg_int(batch->rows, row, "shard", -1);
	CHECK(shard >= 0 && shard < OUTBOX_SHARDS); /* only these were asked for */
	for (size_t i = from; i < batch->len; i++) {
		batch->events[i].shard = (int)shard;
		batch->events[i].row = pg_text(batch->rows, row, "id");
		batch->events[i].topic = pg_text(batch->rows, row, "topic");
		batch->events[i].source = pg_text(batch->rows, row, "source");
		batch->events[i].time = pg_text(batch->rows, row, "time");
	}
}

/* Of a build of which one event is not there none gets a text. */
static void forget_torn(struct outbox_batch *batch, const struct name *name)
{
	size_t end = name->event + (size_t)(name->last - name->first) + 1;
	bool torn = false;
	for (size_t i = name->event; i < end; i++)
		torn |= batch->events[i].text == NULL;
	for (size_t i = name->event; torn && i < end; i++)
		batch->events[i].text = NULL;
}

static int read_missing(struct outbox_batch *batch, struct pg_conn *conn, struct missing *missing, struct error *err)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	pg_pipeline_init(&pipeline, conn);
	pg_pipeline_add(&pipeline, &sql_outbox_read_events, PG_PARAMS(NULL, NULL, NULL), 3);
	pg_pipeline_array(&pipeline, 0, &missing->build_ids);
	pg_pipeline_array(&pipeline, 1, &missing->first);
	pg_pipeline_array(&pipeline, 2, &missing->last);
	if (pg_pipeline_run(&pipeline, results, err) < 0) {
		pg_results_clear(results);
		return -1;
	}
	batch->trail = results[0];
	for (int row = 0; row < PQntuples(batch->trail); row++) {
		const struct name *name = &missing->names[pg_int(batch->trail, row, "n", 0) - 1];
		int64_t sequence = pg_int(batch->trail, row, "sequence", 0);
		struct outbox_event *event = &batch->events[name->event + (size_t)(sequence - name->first)];
		if (event->recent != NULL)
			continue;
		event->type = pg_text(batch->trail, row, "type");
		event->hash = pg_text(batch->trail, row, "hash");
		event->traceparent = pg_text(batch->trail, row, "traceparent");
		event->text = pg_text(batch->trail, row, "text");
		event->text_len = strlen(event->text);
	}
	for (size_t i = 0; i < missing->len; i++)
		forget_torn(batch, &missing->names[i]);
	return 0;
}

int outbox_batch_load(struct outbox_batch *batch, struct pg_conn *conn, const char *shards, size_t limit, size_t bytes,
					  struct error *err)
{
	char limit_text[24], bytes_text[24];
	(void)snprintf(limit_text, sizeof(limit_text), "%zu", limit); /* fits */
	(void)snprintf(bytes_text, sizeof(bytes_text), "%zu", bytes); /* fits */
	if (pg_query(conn, &sql_outbox_select, PG_PARAMS(shards, limit_text, bytes_text), 3, &batch->rows, err) < 0)
		return -1;
	batch->cut = size_of(batch->rows) >= (int64_t)bytes;
	size_t count = count_events(batch->rows);
	CLEANUP(missing_release) struct missing missing;
	missing_init(&missing, count);
	batch->events = xcalloc(count + 1, sizeof(*batch->events));
	for (int row = 0; row < PQntuples(batch->rows); row++)
		add_row(batch, row, &missing);
	return missing.len == 0 ? 0 : read_missing(batch, conn, &missing, err);
}

void outbox_batch_drop_bodies(struct outbox_batch *batch)
{
	for (size_t i = 0; i < batch->len; i++) {
		struct outbox_event *event = &batch->events[i];
		if (event->recent != NULL)
			outbox_recent_release(batch->recent, event->recent);
		event->recent = NULL;
		event->type = event->hash = event->traceparent = event->text = NULL;
	}
	PQclear(batch->trail); /* takes NULL */
	batch->trail = NULL;
}

void outbox_batch_release(struct outbox_batch *batch)
{
	outbox_batch_drop_bodies(batch);
	free(batch->events);
	PQclear(batch->rows); /* takes NULL */
	*batch = (struct outbox_batch){.recent = batch->recent};
}
