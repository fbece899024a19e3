/*
 * kiln-bench-throughput-probe: one connection writes the rows that builds leave, in batches. Each build in four
 * transactions (accepted, assigned, running, ended), each transaction for a batch of builds and in one round trip, then
 * its outbox rows are deleted. Nothing is read, nothing is decided.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/pg/pg.h"
#include "kiln_bench_throughput_probe_sql.h"

#define ARRAY_MAX ((size_t)64 * 1024 * 1024)

static struct pg_conn *conn;
static long batch;
static char (*ids)[UUID_TEXT_SIZE];
static struct pg_array id_array, event_ids, sequences, bodies, texts; /* id_array: of the batch */

static void run(struct pg_pipeline *pipeline)
{
	PGresult *results[PG_PIPELINE_MAX];
	struct error err = ERROR_INIT;
	if (pg_pipeline_run(pipeline, results, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	pg_results_clear(results);
}

static void begin(struct pg_pipeline *pipeline)
{
	pg_pipeline_init(pipeline, conn);
	pg_pipeline_begin_tx(pipeline);
}

/* A statement whose first parameter is the batch's ids, and its second that array (NULL: what params says). */
static void add(struct pg_pipeline *pipeline, const struct pg_statement *statement, struct pg_array *second,
				const char *const *params, size_t len)
{
	pg_pipeline_add(pipeline, statement, params, len);
	pg_pipeline_array(pipeline, 0, &id_array);
	if (second != NULL)
		pg_pipeline_array(pipeline, 1, second);
}

/* The events first..last of each build of the batch, into the trail; the outbox names them; then the commit. */
static void end(struct pg_pipeline *pipeline, long first, long last, const char *body, size_t body_len)
{
	pg_array_clear(&event_ids), pg_array_clear(&sequences), pg_array_clear(&bodies);
	for (long i = 0; i < batch; i++) {
		for (long sequence = first; sequence <= last; sequence++) {
			pg_array_add(&event_ids, ids[i]);
			pg_array_add_int(&sequences, sequence);
			pg_array_add_bytes(&bodies, body, body_len);
		}
	}
	char from[24], to[24];
	(void)snprintf(from, sizeof(from), "%ld", first);
	(void)snprintf(to, sizeof(to), "%ld", last);
	pg_pipeline_add(pipeline, &sql_probe_insert_trail, PG_PARAMS(NULL, NULL, NULL), 3);
	pg_pipeline_array(pipeline, 0, &event_ids);
	pg_pipeline_array(pipeline, 1, &sequences);
	pg_pipeline_array(pipeline, 2, &bodies);
	add(pipeline, &sql_probe_insert_outbox, NULL, PG_PARAMS(NULL, from, to), 3);
	pg_pipeline_commit_tx(pipeline);
	run(pipeline);
}

/* A JSON string of len bytes for each build. */
static struct pg_array *json_texts(const char *text)
{
	pg_array_clear(&texts);
	for (long i = 0; i < batch; i++)
		pg_array_add(&texts, text);
	return &texts;
}

static char *json_text(long len)
{
	char *text = malloc((size_t)len + 1);
	memset(text, 'x', (size_t)len);
	text[0] = text[len - 1] = '"';
	text[len] = '\0';
	return text;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct pg_pipeline tx;
	if (argc != 8) {
		(void)fputs("usage: DATABASE BUILDS BATCH EVENTS_PER_BUILD REQUEST_BYTES EVENT_BYTES RESULT_BYTES\n", stderr);
		return 2;
	}
	const struct pg_settings settings = {.url = argv[1], .application_name = "kiln-bench-probe"};
	long builds = strtol(argv[2], NULL, 10), events = strtol(argv[4], NULL, 10);
	batch = strtol(argv[3], NULL, 10);
	char *request = json_text(strtol(argv[5], NULL, 10)), *event = json_text(strtol(argv[6], NULL, 10)),
		 *result = json_text(strtol(argv[7], NULL, 10));
	char project[UUID_TEXT_SIZE], middle[24];
	uuid_v7(project);
	(void)snprintf(middle, sizeof(middle), "%ld", events - 3);
	ids = calloc((size_t)batch, sizeof(*ids));
	pg_array_init_binary(&id_array, PG_UUID, ARRAY_MAX), pg_array_init_binary(&event_ids, PG_UUID, ARRAY_MAX);
	pg_array_init_binary(&sequences, PG_INT4, ARRAY_MAX), pg_array_init_binary(&bodies, PG_BYTEA, ARRAY_MAX);
	pg_array_init_binary(&texts, PG_JSON, ARRAY_MAX);
	conn = pg_conn_new(&settings);
	if (pg_connect(conn, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	int64_t began_us = clock_boot_us();
	for (long done = 0; done < builds; done += batch) {
		pg_array_clear(&id_array);
		for (long i = 0; i < batch; i++) {
			uuid_v7(ids[i]);
			pg_array_add(&id_array, ids[i]);
		}
		begin(&tx); /* accepted */
		add(&tx, &sql_probe_insert_builds, NULL, PG_PARAMS(NULL, project), 2);
		add(&tx, &sql_probe_insert_requests, json_texts(request), PG_PARAMS(NULL, NULL), 2);
		add(&tx, &sql_probe_insert_queue, NULL, PG_PARAMS(NULL, project), 2);
		end(&tx, 1, 1, event, strlen(event));
		begin(&tx); /* assigned */
		add(&tx, &sql_probe_delete_queue, NULL, PG_PARAMS(NULL), 1);
		add(&tx, &sql_probe_insert_attempts, NULL, PG_PARAMS(NULL, project), 2);
		add(&tx, &sql_probe_update_builds, json_texts(NULL), PG_PARAMS(NULL, NULL, "pending", "assigned", "1"), 5);
		end(&tx, 2, 2, event, strlen(event));
		begin(&tx); /* running */
		add(&tx, &sql_probe_update_attempts, NULL, PG_PARAMS(NULL, "accepted"), 2);
		add(&tx, &sql_probe_update_builds, json_texts(NULL), PG_PARAMS(NULL, NULL, "running", "pushing", middle), 5);
		end(&tx, 3, events - 1, event, strlen(event));
		begin(&tx); /* ended */
		add(&tx, &sql_probe_update_attempts, NULL, PG_PARAMS(NULL, "finished"), 2);
		add(&tx, &sql_probe_update_builds, json_texts(result), PG_PARAMS(NULL, NULL, "completed", NULL, "1"), 5);
		end(&tx, events, events, result, strlen(result));
		begin(&tx); /* published */
		pg_pipeline_add(&tx, &sql_probe_delete_outbox, NULL, 0);
		pg_pipeline_commit_tx(&tx);
		run(&tx);
	}
	(void)printf("{\"builds\": %ld, \"seconds\": %.3f}\n", builds, (double)(clock_boot_us() - began_us) / 1e6);
	pg_conn_free(conn);
	free(request), free(event), free(result);
	return 0;
}
