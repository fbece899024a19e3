#include "build-service/log_store.h"

#include <pthread.h>
#include <stdlib.h>

#include "build-service/fields.h"
#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/kafka/topics.h"
#include "common/pack/pack.h"
#include "common/pg/inbox.h"
#include "common/pg/rows.h"
#include "kiln_build_service_sql.h"

#define BATCH_RECORDS 500
#define BATCH_BYTES ((size_t)4 * 1024 * 1024)
#define TICK_MS 1000
#define LINGER_MS 20 /* readers of a stored log do not see it */
#define LINES_MAX_BYTES ((size_t)KAFKA_MAX_MESSAGE_BYTES * 2)
#define PACKED_MAX_BYTES (LINES_MAX_BYTES + LINES_MAX_BYTES / 8) /* while it is packed */
#define STACK_BYTES ((size_t)512 * 1024)

struct log_store {
	struct packer *packer;
	struct rows rows;
	struct inbox *inbox;
	pthread_t thread;
};

static int add_record(struct log_store *store, const struct inbox_record *record, struct error *err)
{
	if (!record->legible)
		return error_set(err, ERR_INVALID, "the record has no CloudEvents headers");
	if (!str_equal(record->event.type, "build.log"))
		return 0;
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	struct fencing_token token;
	int64_t first_line;
	if (json_parse(record->data, record->data_len, &data, err) < 0 || fencing_token_read(data, &token, err) < 0 ||
		field_int(data, "first_line", 1, (int64_t)1 << 32, &first_line, err) < 0)
		return -1;
	const cJSON *lines = json_get(data, "lines");
	if (!cJSON_IsArray(lines))
		return error_set(err, ERR_INVALID, "lines: not a list");
	CLEANUP(buffer_release_p) struct buffer text;
	CLEANUP(buffer_release_p) struct buffer packed;
	buffer_init(&text, LINES_MAX_BYTES);
	buffer_init(&packed, PACKED_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_tree(&w, NULL, lines);
	if (!buffer_ok(&text))
		return error_set(err, ERR_INVALID, "lines: too long");
	rows_text(&store->rows, token.build_id);
	rows_int(&store->rows, token.attempt);
	rows_int(&store->rows, first_line);
	rows_int(&store->rows, cJSON_GetArraySize(lines));
	CHECK(packer_append(store->packer, text.data, text.len, &packed) == 0);
	rows_bytes(&store->rows, packed.data, packed.len);
	return 0;
}

static int apply(void *ctx, struct pg_conn *tx, const struct inbox_record *const *records, size_t count,
				 struct error *err)
{
	struct log_store *store = ctx;
	rows_release(&store->rows);
	rows_init(&store->rows, 5);
	for (size_t i = 0; i < count; i++) {
		if (add_record(store, records[i], err) < 0)
			return -1;
	}
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, tx);
	rows_pipeline(&store->rows, &pipeline, &sql_insert_logs, NULL);
	if (pipeline.len == 0)
		return 0;
	int rc = pg_pipeline_commit(&pipeline, err);
	rows_clear(&store->rows);
	return rc;
}

static void *log_store_thread(void *arg)
{
	struct log_store *store = arg;
	inbox_run(store->inbox);
	return NULL;
}

int log_store_start(struct service *service, struct log_store **ret_store, struct error *err)
{
	static const char *const topics[] = {TOPIC_BUILD_LOGS};
	struct log_store *store = xcalloc(1, sizeof(*store));
	store->packer = packer_new();
	rows_init(&store->rows, 5);
	static struct metric lag_seconds = INBOX_LAG_SECONDS(LOG_CONSUMER_NAME);
	const struct inbox_options options = {
		.consumer = LOG_CONSUMER_NAME,
		.topics = topics,
		.topics_len = ARRAY_LEN(topics),
		.max_records = BATCH_RECORDS,
		.max_bytes = BATCH_BYTES,
		.tick_ms = TICK_MS,
		.linger_ms = LINGER_MS,
		.lag_seconds = &lag_seconds,
		.kafka = service->kafka,
		.pg = service->pg,
		.async_commit = true,
		.handler = {.ctx = store, .apply = apply},
	};
	if (inbox_new(&options, &store->inbox, err) < 0) {
		packer_free(store->packer);
		free(store);
		return -1;
	}
	if (thread_start(&store->thread, "log-store", STACK_BYTES, log_store_thread, store, err) < 0)
		return -1; /* the process ends */
	*ret_store = store;
	return 0;
}

void log_store_stop(struct log_store *store)
{
	inbox_stop(store->inbox);
	thread_join(store->thread);
	inbox_free(store->inbox);
	rows_release(&store->rows);
	packer_free(store->packer);
	free(store);
}

bool log_store_ready(struct log_store *store, struct buffer *why)
{
	return inbox_ready(store->inbox, why);
}
