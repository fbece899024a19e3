#include "notifier/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_notifier_parts_sql.h"

#define MAX_ARRAY_BYTES (4UL * 1024 * 1024)

static void count_host(const struct list_node *under_way, const char *host, size_t *ret_len, size_t *ret_bytes)
{
	size_t len = 0, bytes = 0;

	LIST_FOR_EACH (node, under_way) {
		const struct delivery *delivery = LIST_ITEM(node, struct delivery, node);
		if (!str_equal(delivery->host, host))
			continue;
		len++;
		bytes += delivery->body_len;
	}
	*ret_len = len;
	*ret_bytes = bytes;
}

static bool is_first_of_host(const struct list_node *under_way, const struct delivery *delivery)
{
	LIST_FOR_EACH (node, under_way) {
		const struct delivery *other = LIST_ITEM(node, struct delivery, node);
		if (other == delivery)
			return true;
		if (str_equal(other->host, delivery->host))
			return false;
	}
	return true;
}

/* Hosts with deliveries under way, how many, and their bodies' bytes. */
static void fill_hosts(const struct list_node *under_way, struct pg_array *hosts, struct pg_array *counts,
					   struct pg_array *bytes)
{
	LIST_FOR_EACH (node, under_way) {
		const struct delivery *delivery = LIST_ITEM(node, struct delivery, node);
		size_t host_len, host_bytes;
		if (!is_first_of_host(under_way, delivery))
			continue;
		count_host(under_way, delivery->host, &host_len, &host_bytes);
		pg_array_add(hosts, delivery->host);
		pg_array_add_int(counts, (int64_t)host_len);
		pg_array_add_int(bytes, (int64_t)host_bytes);
	}
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
	struct pg_array hosts, counts, bytes;

	pg_array_init(&hosts, MAX_ARRAY_BYTES);
	pg_array_init(&counts, MAX_ARRAY_BYTES);
	pg_array_init(&bytes, MAX_ARRAY_BYTES);
	fill_hosts(under_way, &hosts, &counts, &bytes);
	int result = pg_query(conn, &sql_claim,
						  PG_PARAMS(LOG_INT(limits->rows), LOG_INT(limits->bytes), LOG_INT(limits->per_host),
									LOG_INT(limits->host_bytes), LOG_INT(limits->claim_ms), pg_array_text(&hosts),
									pg_array_text(&counts), pg_array_text(&bytes), *walk != NULL ? *walk : ""),
						  9, &rows, err);
	pg_array_release(&bytes);
	pg_array_release(&counts);
	pg_array_release(&hosts);
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
