#include "api-gateway/builds/build_reads.h"

#include "api-gateway/builds/build_answer.h"
#include "api-gateway/requests/lend.h"
#include "api-gateway/requests/lookups.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/requests/workers.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/pg/pg.h"
#include "kiln_gateway_sql.h"

#define READERS 2    /* Postgres works for one while the other one writes */
#define CALL_MS 1000 /* then each goes to a worker, which has more time */
#define GATHER_US 500
#define ARRAY_MAX_BYTES ((size_t)16 * 1024)

struct reader {
	struct lookups *lookups;
	struct pg_array ids;
};

struct build_reads {
	struct reader readers[READERS];
};

static struct metric reads_total = {
	.kind = METRIC_COUNTER, .name = "kiln_gateway_build_reads_total", .help = "Builds asked of Postgres by GETs."};
static struct metric batches_total = {.kind = METRIC_COUNTER,
									  .name = "kiln_gateway_build_read_batches_total",
									  .help = "Statements by which they were asked for, many at once."};

static struct request *request_of(struct lookup *lookup)
{
	return CONTAINER_OF(lookup, struct request, read);
}

static void pass_on(struct lookup *const *batch, size_t count)
{
	for (size_t i = 0; i < count; i++)
		workers_pass_on(request_of(batch[i]), build_read);
}

/* Outdated ones are answered by their deadline; of the others a worker tells at once that Postgres is away. */
static void give_up(void *ctx, struct lookup *const *batch, size_t count)
{
	(void)ctx;
	int64_t now_ms = clock_boot_ms();
	for (size_t i = 0; i < count; i++) {
		struct request *request = request_of(batch[i]);
		if (now_ms < batch[i]->outdated_ms) {
			workers_pass_on(request, build_read);
			continue;
		}
		(void)problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database did not answer in time.");
		request_return(request);
	}
}

static PGresult *read_rows(struct reader *reader, struct lookup *const *batch, size_t count)
{
	pg_array_clear(&reader->ids);
	for (size_t i = 0; i < count; i++)
		pg_array_add(&reader->ids, request_of(batch[i])->param);
	metric_add(&reads_total, (int64_t)count);
	metric_add(&batches_total, 1);
	PGresult *rows = NULL;
	int failed = lookups_query(reader->lookups, &sql_build_rows, PG_PARAMS(pg_array_text(&reader->ids)), 1, &rows,
							   "builds cannot be read");
	return failed < 0 ? NULL : rows;
}

static void look_up(void *ctx, struct lookup *const *batch, size_t count)
{
	int64_t read_ms = clock_boot_ms();
	CLEANUP(pg_result_p) PGresult *rows = read_rows(ctx, batch, count);
	if (rows == NULL) {
		pass_on(batch, count);
		return;
	}
	struct request *answered[BUILD_READS_BATCH];
	size_t answered_len = 0;
	for (size_t i = 0; i < count; i++) {
		struct request *request = request_of(batch[i]);
		int row = lookups_find_row(rows, request->param, i);
		if (row >= 0 && build_read_from_row(request, rows, row, read_ms))
			answered[answered_len++] = request;
		else
			workers_pass_on(request, build_read);
	}
	/* Together, so that their loop wakes up once. */
	for (size_t i = 0; i < answered_len; i++)
		request_return(answered[i]);
}

int build_reads_start(struct gateway *gateway, struct build_reads **ret_reads, struct error *err)
{
	struct build_reads *reads = xcalloc(1, sizeof(*reads));
	metric_register(&reads_total);
	metric_register(&batches_total);
	for (size_t i = 0; i < READERS; i++) {
		struct reader *reader = &reads->readers[i];
		pg_array_init(&reader->ids, ARRAY_MAX_BYTES);
		const struct lookups_owner owner = {
			.thread_name = "gateway-reads",
			.application_name = "kiln-gateway-reads",
			.queue_max = (size_t)gateway->config->worker_queue,
			.batch_max = BUILD_READS_BATCH,
			.call_timeout_ms = CALL_MS,
			.gather_us = GATHER_US,
			.look_up = look_up,
			.give_up = give_up,
			.ctx = reader,
		};
		if (lookups_start(gateway, &owner, &reader->lookups, err) < 0) {
			build_reads_stop(reads);
			return -1;
		}
	}
	*ret_reads = reads;
	return 0;
}

void build_reads_stop(struct build_reads *reads)
{
	if (reads == NULL)
		return;
	for (size_t i = 0; i < READERS; i++) {
		lookups_stop(reads->readers[i].lookups);
		pg_array_release(&reads->readers[i].ids);
	}
	free(reads);
}

/* All that came in one turn of the loop become one batch. */
static void ask(struct loop *loop)
{
	const struct build_reads_turn turn = loop->reads;
	struct build_reads *reads = loop->gateway->build_reads;
	loop->reads.len = 0;
	size_t asked = lookups_ask(reads->readers[loop->index % READERS].lookups, turn.asked, turn.len);
	for (size_t i = asked; i < turn.len; i++)
		request_lend_refused(request_of(turn.asked[i]));
}

static void on_end_of_turn(h2o_timeout_entry_t *entry)
{
	ask(CONTAINER_OF(entry, struct loop, reads.end));
}

void build_reads_turn_init(struct build_reads_turn *turn)
{
	turn->len = 0;
	turn->end = (h2o_timeout_entry_t){.cb = on_end_of_turn};
}

void build_reads_answer(struct request *request)
{
	struct loop *loop = request->loop;
	struct build_reads_turn *turn = &loop->reads;
	request_set_build(request, request->param);
	request_lend(request);
	request->read.outdated_ms = clock_boot_ms() + loop->gateway->config->request_timeout_ms;
	turn->asked[turn->len++] = &request->read;
	if (turn->len == BUILD_READS_BATCH) {
		h2o_timeout_unlink(&turn->end);
		ask(loop);
	} else if (!h2o_timeout_is_linked(&turn->end)) {
		h2o_timeout_link(loop->ctx.loop, &loop->ctx.zero_timeout, &turn->end);
	}
}
