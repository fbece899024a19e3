#include "api-gateway/key_lookups.h"

#include <pthread.h>
#include <stdatomic.h>

#include "api-gateway/caches.h"
#include "api-gateway/recent_builds.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/queue.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define QUEUE_MAX 16384
#define BATCH_MAX 256
#define CALL_MS 700     /* a POST that waits for it goes on without */
#define SILENCES_MAX 2  /* statements in a row that Postgres said nothing to: it is away */
#define AWAY_MS 2000    /* then nobody is kept waiting for so long */
#define FIRST_MS 20     /* until the offsets were looked at once: the tail waits for it */
#define AGAIN_MS 25     /* between looks for a row that has to come */
#define TURN_MS 1000    /* between looks at the offsets */
#define EXPIRE_MS 60000 /* between deletions */
#define EXPIRE_ROWS "1000"
#define ARRAY_MAX_BYTES ((size_t)64 * 1024)

struct key_lookups {
	struct gateway *gateway;
	struct queue *queue;
	struct pg_conn *conn;
	pthread_t thread;
	_Atomic bool stop;
	struct list_node again; /* asked, without a row yet */
	int64_t away_until_ms, again_ms, offsets_ms, expire_ms;
	int silences;
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

static bool is_away(const struct key_lookups *lookups)
{
	return !caches_database_up(lookups->gateway->caches) || clock_boot_ms() < lookups->away_until_ms;
}

/* Any statement of this connection. A refused or slow one is no absence: keys would be taken at their word then. */
static int ask_postgres(struct key_lookups *lookups, const struct pg_statement *statement, const char *const *params,
						size_t params_len, PGresult **ret, const char *what)
{
	struct error err = ERROR_INIT;
	int result = pg_query(lookups->conn, statement, params, params_len, ret, &err);
	bool spoke = result == 0 || (err.sqlstate[0] != '\0' && err.kind != ERR_UNAVAILABLE);
	lookups->silences = spoke ? 0 : lookups->silences + 1;
	if (lookups->silences >= SILENCES_MAX)
		lookups->away_until_ms = clock_boot_ms() + AWAY_MS;
	if (result < 0)
		log_warn(what, "error", err.message, NULL);
	return result;
}

/* Nobody waits for a Postgres that is away. One that is there is asked again while there is time. */
static void give_up(struct key_lookups *lookups, struct key_question *const *questions, size_t count)
{
	bool away = is_away(lookups);
	int64_t now_ms = clock_boot_ms();
	for (size_t i = 0; i < count; i++) {
		questions[i]->row.state = away ? KEY_ROW_UNKNOWN : KEY_ROW_FAILED;
		if (away || now_ms >= questions[i]->until_ms)
			questions[i]->answered(questions[i]);
		else
			list_append(&lookups->again, &questions[i]->node);
	}
}

/* Its row: as a rule at the place of the question, but Postgres promises no order. */
static int find_row(const PGresult *result, const char *build_id, int place)
{
	int rows = PQntuples(result);
	for (int i = 0;; i++) {
		CHECK(i < rows); /* each id that was asked for has one */
		int row = (place + i) % rows;
		if (str_equal(pg_text(result, row, "id"), build_id))
			return row;
	}
}

static void give_row(struct key_lookups *lookups, struct key_question *question, const PGresult *result, int row)
{
	read_row(result, row, &question->row);
	if (question->row.state == KEY_ROW_THERE || clock_boot_ms() >= question->until_ms)
		question->answered(question);
	else
		list_append(&lookups->again, &question->node);
}

static void look_up(struct key_lookups *lookups, struct key_question *const *questions, size_t count)
{
	if (is_away(lookups)) {
		give_up(lookups, questions, count);
		return;
	}
	pg_array_clear(&lookups->ids);
	pg_array_clear(&lookups->partitions);
	for (size_t i = 0; i < count; i++) {
		pg_array_add(&lookups->ids, questions[i]->build_id);
		pg_array_add_int(&lookups->partitions, questions[i]->partition);
	}
	CLEANUP(pg_result_p) PGresult *result = NULL;
	metric_add(&asked_total, (int64_t)count);
	if (ask_postgres(lookups, &sql_key_rows,
					 PG_PARAMS(pg_array_text(&lookups->ids), pg_array_text(&lookups->partitions)), 2, &result,
					 "keys cannot be looked up") < 0) {
		give_up(lookups, questions, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		give_row(lookups, questions[i], result, find_row(result, questions[i]->build_id, (int)i));
}

/* Into the batch, unless it waited so long behind others that its POST goes on without. */
static void take(struct key_lookups *lookups, struct key_question *question, struct key_question **batch, size_t *count)
{
	if (clock_boot_ms() >= question->outdated_ms)
		give_up(lookups, &question, 1);
	else
		batch[(*count)++] = question;
}

/* Those that came, those that wait for a row and are due, and whatever else came meanwhile. */
static void answer_some(struct key_lookups *lookups, struct key_question *first)
{
	struct key_question *batch[BATCH_MAX];
	size_t count = 0;
	if (first != NULL)
		take(lookups, first, batch, &count);
	if (clock_boot_ms() >= lookups->again_ms) {
		struct list_node *node;
		while (count < BATCH_MAX / 2 && (node = list_pop(&lookups->again)) != NULL)
			batch[count++] = LIST_ITEM(node, struct key_question, node);
		lookups->again_ms = clock_boot_ms() + AGAIN_MS;
	}
	while (count < BATCH_MAX && (first = queue_pop(lookups->queue, 0)) != NULL)
		take(lookups, first, batch, &count);
	if (count > 0)
		look_up(lookups, batch, count);
}

static void look_at_offsets(struct key_lookups *lookups)
{
	int64_t now_ms = clock_boot_ms();
	if (is_away(lookups) || now_ms < lookups->offsets_ms)
		return;
	lookups->offsets_ms = now_ms + TURN_MS;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	if (ask_postgres(lookups, &sql_requests_offsets, NULL, 0, &result, "what was applied cannot be looked up") < 0)
		return;
	for (int row = 0; row < PQntuples(result); row++)
		recent_builds_applied(lookups->gateway->recent, (int32_t)pg_int(result, row, "partition", 0),
							  pg_int(result, row, "next_offset", 0));
	metric_add(&looks_total, 1);
}

static void expire(struct key_lookups *lookups)
{
	int64_t now_ms = clock_boot_ms();
	if (is_away(lookups) || now_ms < lookups->expire_ms)
		return;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	lookups->expire_ms = now_ms + EXPIRE_MS;
	if (ask_postgres(lookups, &sql_once_expire, PG_PARAMS(EXPIRE_ROWS), 1, &result, "old keys cannot be deleted") < 0)
		return;
	if (strcmp(PQcmdTuples(result), EXPIRE_ROWS) == 0)
		lookups->expire_ms = now_ms; /* there may be more */
	metric_add(&expired_total, strtoll(PQcmdTuples(result), NULL, 10));
}

static void *run(void *arg)
{
	struct key_lookups *lookups = arg;
	(void)pthread_setname_np(pthread_self(), "gateway-keys"); /* for people who look at threads */
	while (!atomic_load(&lookups->stop)) {
		int wait_ms = lookups->offsets_ms == 0 ? FIRST_MS : list_empty(&lookups->again) ? TURN_MS : AGAIN_MS;
		answer_some(lookups, queue_pop(lookups->queue, wait_ms));
		look_at_offsets(lookups);
		expire(lookups);
	}
	return NULL;
}

int key_lookups_start(struct gateway *gateway, struct key_lookups **ret_lookups, struct error *err)
{
	struct key_lookups *lookups = xcalloc(1, sizeof(*lookups));
	lookups->gateway = gateway;
	lookups->queue = queue_new(QUEUE_MAX);
	list_init(&lookups->again);
	pg_array_init(&lookups->ids, ARRAY_MAX_BYTES);
	pg_array_init(&lookups->partitions, ARRAY_MAX_BYTES);
	char *url = pg_indexed_url(gateway->config->database_url);
	const struct pg_settings settings = {
		.url = url,
		.application_name = "kiln-gateway-keys",
		.connect_timeout_ms = CALL_MS,
		.call_timeout_ms = CALL_MS,
		.statement_timeout_ms = CALL_MS - 100,
	};
	lookups->conn = pg_conn_new(&settings);
	free(url);
	metric_register(&asked_total);
	metric_register(&expired_total);
	metric_register(&looks_total);
	int failed_to = pthread_create(&lookups->thread, NULL, run, lookups);
	if (failed_to != 0) {
		pg_conn_free(lookups->conn);
		queue_free(lookups->queue);
		free(lookups);
		return error_set_errno(err, failed_to, "starting the thread of the keys");
	}
	*ret_lookups = lookups;
	return 0;
}

void key_lookups_stop(struct key_lookups *lookups)
{
	if (lookups == NULL)
		return;
	atomic_store(&lookups->stop, true);
	queue_close(lookups->queue); /* wakes it */
	CHECK(pthread_join(lookups->thread, NULL) == 0);
	pg_conn_free(lookups->conn);
	pg_array_release(&lookups->ids);
	pg_array_release(&lookups->partitions);
	queue_free(lookups->queue);
	free(lookups);
}

bool key_lookups_ask(struct key_lookups *lookups, struct key_question *question)
{
	list_init(&question->node);
	question->row = (struct key_row){.state = KEY_ROW_UNKNOWN};
	question->outdated_ms = clock_boot_ms() + CALL_MS;
	if (question->outdated_ms < question->until_ms)
		question->outdated_ms = question->until_ms;
	return queue_try_push(lookups->queue, question);
}
