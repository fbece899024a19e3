#include <string.h>

#include "common/kafka/topics.h"
#include "common/pg/outbox.h"
#include "kiln_pg_sql.h"

/* In the order of the statement's parameters. */
#define COLUMNS(rows)                                                                                                  \
	{                                                                                                                  \
		&(rows)->shard, &(rows)->topic, &(rows)->key, &(rows)->sequence, &(rows)->ce_id, &(rows)->type,                \
			&(rows)->source, &(rows)->time, &(rows)->hash, &(rows)->traceparent, &(rows)->body,                        \
	}

void outbox_rows_init(struct outbox_rows *rows, size_t max_bytes)
{
	memset(rows, 0, sizeof(*rows));
	struct pg_array *const columns[] = COLUMNS(rows);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_init(columns[i], max_bytes);
}

void outbox_rows_release(struct outbox_rows *rows)
{
	struct pg_array *const columns[] = COLUMNS(rows);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_release(columns[i]);
	rows->len = 0;
}

void outbox_rows_add(struct outbox_rows *rows, const char *topic, const char *key, int64_t sequence, const char *ce_id,
					 const char *type, const char *source, const char *time, const char *hash_hex,
					 const char *traceparent, const void *body, size_t body_len)
{
	const struct topic *known = topic_find(topic);
	CHECK(known != NULL && known->partitions <= OUTBOX_SHARDS);
	pg_array_add_int(&rows->shard, topic_partition(known, key, strlen(key)));
	pg_array_add(&rows->topic, topic);
	pg_array_add(&rows->key, key);
	pg_array_add_int(&rows->sequence, sequence);
	pg_array_add(&rows->ce_id, ce_id);
	pg_array_add(&rows->type, type);
	pg_array_add(&rows->source, source);
	pg_array_add(&rows->time, time);
	pg_array_add(&rows->hash, hash_hex);
	pg_array_add(&rows->traceparent, traceparent);
	pg_array_add_bytes(&rows->body, body, body_len);
	rows->len++;
}

int outbox_rows_insert(struct outbox_rows *rows, struct pg_conn *tx, struct error *err)
{
	if (rows->len == 0)
		return 0;
	struct pg_array *const columns[] = COLUMNS(rows);
	const char *params[ARRAY_LEN(columns)];
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		params[i] = pg_array_text(columns[i]);
	return pg_query(tx, &sql_outbox_insert, params, ARRAY_LEN(params), NULL, err);
}
