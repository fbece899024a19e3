#include "api-gateway/build_lookup.h"

#include "api-gateway/caches.h"
#include "api-gateway/recent_builds.h"
#include "api-gateway/tail.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "kiln_gateway_sql.h"

#define PROOF_MS 1000
#define ASK_KAFKA_MS 500
#define LOOK_AGAIN_MS 20
#define PARTITIONS_MAX 64
#define RECORD_MAX ((size_t)16 * 1024 * 1024)

enum sight { SEEN, ABSENT, FAILED };

void build_found_release(struct build_found *found)
{
	PQclear(found->row);
	cJSON_Delete(found->request);
	*found = (struct build_found){0};
}

const char *build_found_status(const struct build_found *found)
{
	return found->row != NULL ? pg_text(found->row, 0, "status") : "pending";
}

bool build_status_ended(const char *status)
{
	return !str_equal(status, "pending") && !str_equal(status, "running");
}

bool build_found_ended(const struct build_found *found)
{
	return build_status_ended(build_found_status(found));
}

static int not_found(struct request *request)
{
	return problem_answer(request, PROBLEM_NOT_FOUND, "There is no build \"%s\".", request->param);
}

/* ABSENT gives *ret_applied: everything of the partition below it is in this snapshot. */
static enum sight look_in_database(struct request *request, struct db *db, struct build_found *found,
								   int64_t *ret_applied)
{
	if (db->conn == NULL)
		return FAILED;
	PGresult *result = NULL;
	struct error err = ERROR_INIT;
	const char *partition = LOG_INT(tail_partition(request->param));
	if (pg_query(db->conn, &sql_build_get, PG_PARAMS(request->param, partition), 2, &result, &err) < 0) {
		log_warn("database", "request_id", request->id, "error", err.message, NULL);
		return FAILED;
	}
	if (pg_text(result, 0, "id") == NULL) {
		*ret_applied = pg_int(result, 0, "next_offset", 0);
		PQclear(result);
		return ABSENT;
	}
	recent_builds_mark_shown(request->gateway->recent, request->param);
	found->row = result;
	found->project_name = pg_text(result, 0, "project_name");
	return SEEN;
}

/* Postgres has no row, with everything below `applied`. POSTGRES_AWAY: it cannot be asked. */
#define POSTGRES_AWAY (-1)

static enum sight look_in_tail(struct request *request, int64_t applied, struct build_found *found)
{
	CLEANUP(buffer_release_p) struct buffer record;
	struct recent_sight sight;
	buffer_init(&record, RECORD_MAX);
	if (!recent_builds_find(request->gateway->recent, request->param, &record, &sight))
		return ABSENT;
	if (applied == POSTGRES_AWAY && sight.past)
		return ABSENT; /* it is not pending, as far as one knows */
	/* It was applied and has no row: it was pruned, and posted again with its key. Postgres' word goes before ours. */
	if (sight.offset < applied)
		return ABSENT;
	struct error err = ERROR_INIT;
	if (json_parse(record.data, record.len, &found->request, &err) < 0) {
		log_error("unreadable build.requested", "build_id", request->param, "error", err.message, NULL);
		return ABSENT;
	}
	found->project_name = json_get_string(json_get(found->request, "project"), "name");
	return found->project_name != NULL ? SEEN : ABSENT;
}

static void look_again_later(void)
{
	clock_pause_ms(LOOK_AGAIN_MS);
}

static int undecidable(struct request *request, const char *detail, enum wait_end *ret_end)
{
	*ret_end = WAIT_MISSED;
	return problem_answer(request, PROBLEM_UNDECIDABLE, "%s", detail);
}

static int seek_proof(struct request *request, struct db *db, struct build_found *found, enum wait_end *ret_end)
{
	struct recent_builds *recent = request->gateway->recent;
	int32_t partition = tail_partition(request->param);
	int64_t deadline_ms = clock_boot_ms() + PROOF_MS, end, applied = 0;
	struct error err = ERROR_INIT;
	if (tail_end_offsets(request->gateway->tail, &partition, 1, ASK_KAFKA_MS, &end, &err) < 0)
		return undecidable(request, "Kafka does not answer, and the build is not known yet.", ret_end);
	for (;;) {
		int64_t now_ms = clock_boot_ms();
		bool tail_is_there = recent_builds_wait(recent, partition, end, now_ms + LOOK_AGAIN_MS);
		switch (look_in_database(request, db, found, &applied)) {
		case SEEN:
			return 0;
		case FAILED:
			*ret_end = WAIT_UNTOLD;
			return problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database does not answer.");
		case ABSENT:
			break;
		}
		/* Its reach is looked at before and after: what came meanwhile was not missed, and what was there was not
		 * evicted. */
		bool covered = recent_builds_cover(recent, partition, applied, end);
		if (look_in_tail(request, applied, found) == SEEN)
			return 0;
		if (applied >= end || (covered && recent_builds_cover(recent, partition, applied, end)))
			return not_found(request);
		if (now_ms >= deadline_ms)
			return undecidable(
				request, "Requests are being applied; whether this build is among them is not known yet.", ret_end);
		if (tail_is_there)
			look_again_later(); /* what the tail lacks only Postgres can tell */
	}
}

/* Absent from both at first sight. */
static int prove(struct request *request, struct db *db, struct build_found *found)
{
	struct wait_limit *limit = &request->gateway->proofs;
	if (!wait_limit_enter(limit, clock_boot_ms()))
		return problem_answer(request, PROBLEM_UNDECIDABLE,
							  "Whether there is such a build cannot be told now, and others wait for as much.");
	enum wait_end end = WAIT_CAME;
	int rc = seek_proof(request, db, found, &end);
	wait_limit_leave(limit, end, clock_boot_ms());
	return rc;
}

static int find(struct request *request, struct db *db, bool to_wish, struct build_found *found)
{
	int64_t applied = 0;
	enum sight sight = look_in_database(request, db, found, &applied);
	if (sight == FAILED && (!to_wish || look_in_tail(request, POSTGRES_AWAY, found) != SEEN))
		return problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database does not answer.");
	if (sight != ABSENT || look_in_tail(request, applied, found) == SEEN)
		return 0;
	return prove(request, db, found);
}

static int look_up(struct request *request, struct db *db, bool to_wish, struct build_found *ret_found)
{
	if (!uuid_is_valid(request->param, strlen(request->param)))
		return not_found(request); /* no build ever has such an id */
	request_set_build(request, request->param);
	struct build_found found = {0};
	if (find(request, db, to_wish, &found) == 0 && api_token_sees_project(request->token, found.project_name)) {
		*ret_found = found;
		return 0;
	}
	if (found.project_name != NULL)
		(void)not_found(request); /* a foreign project's */
	build_found_release(&found);
	return -1;
}

int build_lookup(struct request *request, struct db *db, struct build_found *ret_found)
{
	return look_up(request, db, false, ret_found);
}

/* Without a connection: the look says that Postgres is away, if it comes to that. */
static int take_and_look_up(struct request *request, struct db *ret_db, bool to_wish, struct build_found *ret_found)
{
	if (db_take(request, ret_db) < 0)
		*ret_db = (struct db){0};
	answer_clear(&request->answer);
	return look_up(request, ret_db, to_wish, ret_found);
}

int build_lookup_taking(struct request *request, struct db *ret_db, struct build_found *ret_found)
{
	return take_and_look_up(request, ret_db, false, ret_found);
}

int build_lookup_to_wish(struct request *request, struct db *ret_db, struct build_found *ret_found)
{
	return take_and_look_up(request, ret_db, true, ret_found);
}

static int wait_applied(struct request *request, struct db *db, enum wait_end *ret_end)
{
	int32_t partitions[PARTITIONS_MAX];
	int64_t ends[PARTITIONS_MAX], deadline_ms = clock_boot_ms() + PROOF_MS;
	size_t count = (size_t)topic_find(TOPIC_BUILD_REQUESTS)->partitions;
	struct error err = ERROR_INIT;
	CHECK(count <= PARTITIONS_MAX);
	for (size_t i = 0; i < count; i++)
		partitions[i] = (int32_t)i;
	if (tail_end_offsets(request->gateway->tail, partitions, count, ASK_KAFKA_MS, ends, &err) < 0)
		return undecidable(request, "Kafka does not answer; there may be builds that are not known yet.", ret_end);
	CLEANUP(buffer_release_p) struct buffer array;
	buffer_init(&array, 4096);
	struct json_writer w;
	json_writer_init(&w, &array);
	json_array_begin(&w, NULL);
	for (size_t i = 0; i < count; i++)
		json_int(&w, NULL, ends[i]);
	json_array_end(&w);
	CHECK(buffer_ok(&array));
	for (;;) {
		CLEANUP(pg_result_p) PGresult *result = NULL;
		if (pg_query(db->conn, &sql_requests_applied, PG_PARAMS(array.data), 1, &result, &err) < 0) {
			*ret_end = WAIT_UNTOLD;
			return db_problem(request, &err);
		}
		if (pg_bool(result, 0, "applied"))
			return 0;
		if (clock_boot_ms() >= deadline_ms)
			return undecidable(request, "Accepted builds are still being applied.", ret_end);
		look_again_later();
	}
}

int build_lookup_wait_applied(struct request *request, struct db *db)
{
	struct wait_limit *limit = &request->gateway->applied;
	if (!wait_limit_enter(limit, clock_boot_ms()))
		return problem_answer(request, PROBLEM_UNDECIDABLE,
							  "What builds there are cannot be told now, and others wait for as much.");
	enum wait_end end = WAIT_CAME;
	int rc = wait_applied(request, db, &end);
	wait_limit_leave(limit, end, clock_boot_ms());
	return rc;
}
