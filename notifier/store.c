#include "notifier/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_notifier_parts_sql.h"

#define MAX_ARRAY_BYTES (4UL * 1024 * 1024)

/* Who has deliveries under way, hosts or projects: how many, and their bodies' bytes. */
struct busy {
	struct pg_array keys, counts, bytes;
};

static const char *host_of(const struct delivery *delivery)
{
	return delivery->host;
}

static const char *project_of(const struct delivery *delivery)
{
	return delivery->project_id;
}

static void count(const struct list_node *under_way, const char *(*key_of)(const struct delivery *delivery),
				  const char *key, size_t *ret_len, size_t *ret_bytes)
{
	size_t len = 0, bytes = 0;

	LIST_FOR_EACH (node, under_way) {
		const struct delivery *delivery = LIST_ITEM(node, struct delivery, node);
		if (!str_equal(key_of(delivery), key))
			continue;
		len++;
		bytes += delivery->body_len;
	}
	*ret_len = len;
	*ret_bytes = bytes;
}

static bool is_first(const struct list_node *under_way, const char *(*key_of)(const struct delivery *delivery),
					 const struct delivery *delivery)
{
	LIST_FOR_EACH (node, under_way) {
		const struct delivery *other = LIST_ITEM(node, struct delivery, node);
		if (other == delivery)
			return true;
		if (str_equal(key_of(other), key_of(delivery)))
			return false;
	}
	return true;
}

static void busy_init(struct busy *busy, const struct list_node *under_way,
					  const char *(*key_of)(const struct delivery *delivery))
{
	pg_array_init(&busy->keys, MAX_ARRAY_BYTES);
	pg_array_init(&busy->counts, MAX_ARRAY_BYTES);
	pg_array_init(&busy->bytes, MAX_ARRAY_BYTES);
	LIST_FOR_EACH (node, under_way) {
		const struct delivery *delivery = LIST_ITEM(node, struct delivery, node);
		size_t len, bytes;
		if (!is_first(under_way, key_of, delivery))
			continue;
		count(under_way, key_of, key_of(delivery), &len, &bytes);
		pg_array_add(&busy->keys, key_of(delivery));
		pg_array_add_int(&busy->counts, (int64_t)len);
		pg_array_add_int(&busy->bytes, (int64_t)bytes);
	}
}

static void busy_release(struct busy *busy)
{
	pg_array_release(&busy->keys);
	pg_array_release(&busy->counts);
	pg_array_release(&busy->bytes);
}

/* Hex digits → bytes, with a NUL behind them. */
static void *from_hex(const char *hex, size_t *ret_len)
{
	size_t len = strlen(hex) / 2;
	char *bytes = xmalloc(len + 1);

	CHECK(hex_decode(hex, strlen(hex), bytes, len) == 0);
	bytes[len] = '\0';
	*ret_len = len;
	return bytes;
}

static struct delivery *delivery_of_row(const PGresult *rows, int row)
{
	struct delivery *delivery = xcalloc(1, sizeof(*delivery));
	const char *secret = pg_text(rows, row, "secret");

	list_init(&delivery->node);
	list_init(&delivery->finished_node);
	CHECK(strlen(pg_text(rows, row, "id")) == sizeof(delivery->id) - 1);
	memcpy(delivery->id, pg_text(rows, row, "id"), sizeof(delivery->id));
	delivery->event_id = xstrdup(pg_text(rows, row, "event_id"));
	delivery->event_type = xstrdup(pg_text(rows, row, "event_type"));
	delivery->build_id = xstrdup(pg_text(rows, row, "build_id"));
	delivery->url = xstrdup(pg_text(rows, row, "url"));
	delivery->host = xstrdup(pg_text(rows, row, "host"));
	delivery->project_id = xstrdup(pg_text(rows, row, "project_id"));
	delivery->traceparent = xstrdup(pg_text(rows, row, "traceparent"));
	delivery->request_id = xstrdup(pg_text(rows, row, "request_id"));
	delivery->attempt = pg_int(rows, row, "attempt", 1);
	delivery->claim = pg_int(rows, row, "claim", 0);
	delivery->body = from_hex(pg_text(rows, row, "body"), &delivery->body_len);
	if (secret != NULL)
		delivery->secret = from_hex(secret, &delivery->secret_len);
	return delivery;
}

static void read_claim(const PGresult *rows, struct store_claim *ret_claim)
{
	list_init(&ret_claim->deliveries);
	ret_claim->len = 0;
	ret_claim->next_ms = pg_int(rows, 0, "ms", INT64_MAX);
	for (int row = 0; row < PQntuples(rows); row++) {
		if (pg_text(rows, row, "id") == NULL)
			continue; /* nothing was taken: the only row */
		list_append(&ret_claim->deliveries, &delivery_of_row(rows, row)->node);
		ret_claim->len++;
	}
}

int store_claim(struct pg_conn *conn, const struct store_limits *limits, const struct list_node *under_way, char **walk,
				struct store_claim *ret_claim, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	struct busy hosts, projects;

	busy_init(&hosts, under_way, host_of);
	busy_init(&projects, under_way, project_of);
	int result =
		pg_query(conn, &sql_claim,
				 PG_PARAMS(LOG_INT(limits->rows), LOG_INT(limits->bytes), LOG_INT(limits->per_host),
						   LOG_INT(limits->host_bytes), LOG_INT(limits->claim_ms), pg_array_text(&hosts.keys),
						   pg_array_text(&hosts.counts), pg_array_text(&hosts.bytes), *walk != NULL ? *walk : "",
						   LOG_INT(limits->per_project), LOG_INT(limits->project_bytes), pg_array_text(&projects.keys),
						   pg_array_text(&projects.counts), pg_array_text(&projects.bytes)),
				 14, &rows, err);
	busy_release(&projects);
	busy_release(&hosts);
	if (result < 0)
		return -1;
	free(*walk);
	*walk = xstrdup(pg_text(rows, 0, "walk"));
	read_claim(rows, ret_claim);
	return 0;
}

int store_record(struct pg_conn *conn, const struct list_node *finished, struct error *err)
{
	struct pg_array columns[8]; /* id, attempt, state, delay_ms, status, error, duration_ms, claim */

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_init(&columns[i], MAX_ARRAY_BYTES);
	LIST_FOR_EACH (node, finished) {
		const struct delivery *delivery = LIST_ITEM(node, struct delivery, finished_node);
		pg_array_add(&columns[0], delivery->id);
		pg_array_add_int(&columns[1], delivery->attempt);
		pg_array_add(&columns[2], delivery_state_name(delivery->state));
		pg_array_add_int(&columns[3], delivery->delay_ms);
		pg_array_add(&columns[4], delivery->status != 0 ? LOG_INT(delivery->status) : NULL);
		pg_array_add(&columns[5], delivery->error[0] != '\0' ? delivery->error : NULL);
		pg_array_add_int(&columns[6], delivery->duration_ms);
		pg_array_add_int(&columns[7], delivery->claim);
	}
	int result = pg_query(conn, &sql_record,
						  PG_PARAMS(pg_array_text(&columns[0]), pg_array_text(&columns[1]), pg_array_text(&columns[2]),
									pg_array_text(&columns[3]), pg_array_text(&columns[4]), pg_array_text(&columns[5]),
									pg_array_text(&columns[6]), pg_array_text(&columns[7])),
						  8, NULL, err);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		pg_array_release(&columns[i]);
	return result;
}
