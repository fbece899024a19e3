#include "api-gateway/builds/key_lookups.h"

#include "api-gateway/builds/recent_builds.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define QUEUE_MAX 16384
#define CALL_MS 700 /* a POST that waits for it goes on without */
#define FIRST_MS 20 /* until the offsets were looked at once: the tail waits for it */
#define AGAIN_MS 25 /* between looks for a row that has to come */
#define AGAIN_MAX (LOOKUPS_BATCH_MAX / 2)
#define TURN_MS 1000    /* between looks at the offsets */
#define EXPIRE_MS 60000 /* between deletions */
#define EXPIRE_ROWS "1000"
#define ARRAY_MAX_BYTES ((size_t)64 * 1024)

struct key_lookups {
	struct gateway *gateway;
	struct lookups *lookups;
	struct list_node again; /* asked, without a row yet */
	int64_t again_ms, offsets_ms, expire_ms;
	struct pg_array ids, partitions;
};

static struct metric asked_total = {.kind = METRIC_COUNTER,
									.name = "kiln_gateway_key_lookups_total",
									.help = "Look-ups of Idempotency-Keys in Postgres."};
static struct metric expired_total = {.kind = METRIC_COUNTER,
									  .name = "kiln_gateway_keys_expired_total",
									  .help = "Idempotency-Keys deleted after their day."};
static struct metric looks_total = {.kind = METRIC_COUNTER,
									.name = "kiln_gateway_applied_looks_total",
									.help = "Looks at how far the build service has applied the requests."};

static void read_row(const PGresult *result, int at, struct key_row *ret)
{
	const char *hex = pg_text(result, at, "hash");
	*ret = (struct key_row){.state = KEY_ROW_ABSENT, .applied = pg_int(result, at, "applied", 0)};
	if (!pg_bool(result, at, "there"))
		return;
	ret->state = KEY_ROW_THERE;
	ret->has_hash = hex != NULL && hex_decode(hex, strlen(hex), ret->hash, SHA256_SIZE) == 0;
}

int key_lookups_query(struct pg_conn *conn, const char *build_id, int32_t partition, struct key_row *ret_row,
					  struct error *err)
{
	char ids[UUID_TEXT_SIZE + 2], partitions[16];
	(void)snprintf(ids, sizeof(ids), "{%s}", build_id);
	(void)snprintf(partitions, sizeof(partitions), "{%d}", partition);
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (pg_query(conn, &sql_key_rows, PG_PARAMS(ids, partitions), 2, &result, err) < 0)
		return -1;
	read_row(result, 0, ret_row);
	return 0;
}

static struct key_question *question_of(struct lookup *lookup)
{
	return CONTAINER_OF(lookup, struct key_question, lookup);
}

/* Nobody waits for a Postgres that is away. One that is there is asked again while there is time. */
static void give_up(void *ctx, struct lookup *const *batch, size_t count)
{
	struct key_lookups *keys = ctx;
	bool away = lookups_away(keys->lookups);
	int64_t now_ms = clock_boot_ms();
	for (size_t i = 0; i < count; i++) {
		struct key_question *question = question_of(batch[i]);
		question->row.state = away ? KEY_ROW_UNKNOWN : KEY_ROW_FAILED;
		if (away || now_ms >= question->until_ms)
			question->answered(question);
		else
			list_append(&keys->again, &question->node);
	}
}

static void give_row(struct key_lookups *keys, struct key_question *question, const PGresult *result, int row)
{
	read_row(result, row, &question->row);
	if (question->row.state == KEY_ROW_THERE || clock_boot_ms() >= question->until_ms)
		question->answered(question);
	else
		list_append(&keys->again, &question->node);
}

static void look_up(void *ctx, struct lookup *const *batch, size_t count)
{
	struct key_lookups *keys = ctx;
	pg_array_clear(&keys->ids);
	pg_array_clear(&keys->partitions);
	for (size_t i = 0; i < count; i++) {
		pg_array_add(&keys->ids, question_of(batch[i])->build_id);
		pg_array_add_int(&keys->partitions, question_of(batch[i])->partition);
	}
	CLEANUP(pg_result_p) PGresult *result = NULL;
	metric_add(&asked_total, (int64_t)count);
	if (lookups_query(keys->lookups, &sql_key_rows,
					  PG_PARAMS(pg_array_text(&keys->ids), pg_array_text(&keys->partitions)), 2, &result,
					  "keys cannot be looked up") < 0) {
		give_up(keys, batch, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct key_question *question = question_of(batch[i]);
		int row = lookups_find_row(result, question->build_id, i);
		CHECK(row >= 0); /* each id that was asked for has one */
		give_row(keys, question, result, row);
	}
}

/* Those that wait for a row and are due. */
static void look_again(struct key_lookups *keys)
{
	struct lookup *batch[AGAIN_MAX];
	struct list_node *node;
	size_t count = 0;
	if (clock_boot_ms() < keys->again_ms)
		return;
	while (count < AGAIN_MAX && (node = list_pop(&keys->again)) != NULL)
		batch[count++] = &LIST_ITEM(node, struct key_question, node)->lookup;
	keys->again_ms = clock_boot_ms() + AGAIN_MS;
	if (count == 0)
		return;
	if (lookups_away(keys->lookups))
		give_up(keys, batch, count);
	else
		look_up(keys, batch, count);
}

static void look_at_offsets(struct key_lookups *keys)
{
	int64_t now_ms = clock_boot_ms();
	if (lookups_away(keys->lookups) || now_ms < keys->offsets_ms)
		return;
	keys->offsets_ms = now_ms + TURN_MS;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (lookups_query(keys->lookups, &sql_requests_offsets, NULL, 0, &result, "what was applied cannot be looked up") <
		0)
		return;
	for (int row = 0; row < PQntuples(result); row++)
		recent_builds_applied(keys->gateway->recent, (int32_t)pg_int(result, row, "partition", 0),
							  pg_int(result, row, "next_offset", 0));
	metric_add(&looks_total, 1);
}

static void expire(struct key_lookups *keys)
{
	int64_t now_ms = clock_boot_ms();
	if (lookups_away(keys->lookups) || now_ms < keys->expire_ms)
		return;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	keys->expire_ms = now_ms + EXPIRE_MS;
	if (lookups_query(keys->lookups, &sql_once_expire, PG_PARAMS(EXPIRE_ROWS), 1, &result,
					  "old keys cannot be deleted") < 0)
		return;
	if (strcmp(PQcmdTuples(result), EXPIRE_ROWS) == 0)
		keys->expire_ms = now_ms; /* there may be more */
	metric_add(&expired_total, strtoll(PQcmdTuples(result), NULL, 10));
}

/* Between batches. */
static int turn(void *ctx)
{
	struct key_lookups *keys = ctx;
	look_again(keys);
	look_at_offsets(keys);
	expire(keys);
	return keys->offsets_ms == 0 ? FIRST_MS : list_empty(&keys->again) ? TURN_MS : AGAIN_MS;
}

int key_lookups_start(struct gateway *gateway, struct key_lookups **ret_lookups, struct error *err)
{
	struct key_lookups *keys = xcalloc(1, sizeof(*keys));
	keys->gateway = gateway;
	list_init(&keys->again);
	pg_array_init(&keys->ids, ARRAY_MAX_BYTES);
	pg_array_init(&keys->partitions, ARRAY_MAX_BYTES);
	metric_register(&asked_total);
	metric_register(&expired_total);
	metric_register(&looks_total);
	const struct lookups_owner owner = {
		.thread_name = "gateway-keys",
		.application_name = "kiln-gateway-keys",
		.queue_max = QUEUE_MAX,
		.batch_max = LOOKUPS_BATCH_MAX,
		.call_timeout_ms = CALL_MS,
		.look_up = look_up,
		.give_up = give_up,
		.turn = turn,
		.ctx = keys,
	};
	if (lookups_start(gateway, &owner, &keys->lookups, err) < 0) {
		key_lookups_stop(keys);
		return -1;
	}
	*ret_lookups = keys;
	return 0;
}

void key_lookups_stop(struct key_lookups *keys)
{
	if (keys == NULL)
		return;
	lookups_stop(keys->lookups);
	for (struct list_node *node; (node = list_pop(&keys->again)) != NULL;) {
		struct key_question *question = LIST_ITEM(node, struct key_question, node);
		question->answered(question);
	}
	pg_array_release(&keys->ids);
	pg_array_release(&keys->partitions);
	free(keys);
}

bool key_lookups_ask(struct key_lookups *keys, struct key_question *question)
{
	struct lookup *lookup = &question->lookup;
	list_init(&question->node);
	question->row = (struct key_row){.state = KEY_ROW_UNKNOWN};
	lookup->outdated_ms = clock_boot_ms() + CALL_MS;
	if (lookup->outdated_ms < question->until_ms)
		lookup->outdated_ms = question->until_ms;
	return lookups_ask(keys->lookups, &lookup, 1) == 1;
}
