#include "api-gateway/builds/build_lookup.h"

#include "api-gateway/callers/caches.h"
#include "api-gateway/builds/recent_builds.h"
#include "api-gateway/builds/tail.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/read_barrier.h"
#include "common/kafka/topics.h"
#include "kiln_gateway_sql.h"

#define PROOF_MS 1000
#define BARRIER_MS 500
#define LOOK_AGAIN_MS 20
#define ENDS_WAIT_MS 5
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
	cJSON *data;
	if (json_parse(record.data, record.len, &data, &err) < 0) {
		log_error("unreadable build.requested", "build_id", request->param, "error", err.message, NULL);
		return ABSENT;
	}
	const char *project_name = json_get_string(json_get(data, "project"), "name");
	if (project_name == NULL) {
		cJSON_Delete(data);
		return ABSENT;
	}
	found->request = data;
	found->project_name = project_name;
	return SEEN;
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

struct proof {
	struct read_barrier barrier;
	int64_t end;  /* -1: not known yet */
	bool refused; /* nor will it be */
	int64_t began_ms;
};

/* The end of the partition, if it comes soon. */
static void look_for_end(struct request *request, struct proof *proof)
{
	struct error err = ERROR_INIT;
	if (proof->end >= 0 || proof->refused)
		return;
	int64_t soon_ms = clock_boot_ms() + LOOK_AGAIN_MS;
	proof->refused = read_barrier_wait(request->gateway->barriers, &proof->barrier, soon_ms, &proof->end, &err) < 0;
	if (proof->refused)
		log_warn("no end of a partition", "request_id", request->id, "error", err.message, NULL);
}

static bool is_over(const struct proof *proof)
{
	return clock_boot_ms() >= proof->began_ms + (proof->end < 0 ? BARRIER_MS : PROOF_MS);
}

static enum sight look_for_proof(struct request *request, struct db *db, const struct proof *proof,
								 struct build_found *found, bool *ret_proved)
{
	struct recent_builds *recent = request->gateway->recent;
	int32_t partition = proof->barrier.partition;
	int64_t end = proof->end, applied = 0;
	enum sight sight = look_in_database(request, db, found, &applied);
	if (sight != ABSENT)
		return sight;
	/* Its reach is looked at before and after: what came meanwhile was not missed, and what was there was not evicted.
	 */
	bool covered = end >= 0 && recent_builds_cover(recent, partition, applied, end);
	sight = look_in_tail(request, applied, found);
	*ret_proved = end >= 0 && (applied >= end || (covered && recent_builds_cover(recent, partition, applied, end)));
	return sight;
}

static void wait_for_more(struct request *request, const struct proof *proof)
{
	struct recent_builds *recent = request->gateway->recent;
	int32_t partition = proof->barrier.partition;
	int64_t now_ms = clock_boot_ms();
	if (proof->end < 0 && !proof->refused)
		return; /* look_for_end waits */
	if (proof->refused || recent_builds_wait(recent, partition, proof->end, now_ms))
		look_again_later(); /* what the tail lacks only Postgres can tell */
	else
		(void)recent_builds_wait(recent, partition, proof->end, now_ms + LOOK_AGAIN_MS); /* then one looks anyway */
}

static int seek_proof(struct request *request, struct db *db, struct build_found *found, enum wait_end *ret_end)
{
	struct proof proof = {
		.barrier = read_barrier_ask(request->gateway->barriers, tail_partition(request->param)),
		.end = -1,
		.began_ms = clock_boot_ms(),
	};
	for (;; wait_for_more(request, &proof)) {
		look_for_end(request, &proof);
		bool over = is_over(&proof), proved = false; /* before the look: who gives up has looked once more */
		switch (look_for_proof(request, db, &proof, found, &proved)) {
		case SEEN:
			if (proof.end < 0)
				*ret_end = WAIT_UNTOLD;
			return 0;
		case FAILED:
			*ret_end = WAIT_UNTOLD;
			return problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE, "The database does not answer.");
		case ABSENT:
			break;
		}
		if (proved)
			return not_found(request);
		if (over && proof.end < 0)
			return undecidable(request, "Kafka does not answer, and the build is not known yet.", ret_end);
		if (over)
			return undecidable(
				request, "Requests are being applied; whether this build is among them is not known yet.", ret_end);
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

struct barriers {
	size_t len;
	struct read_barrier barriers[PARTITIONS_MAX];
	int64_t ends[PARTITIONS_MAX]; /* -1: not known yet */
};

/* Asks all, and waits a moment for the first that is not known: nothing is sent of a partition in whose turn nobody
 * waits. Returns how many are known; -1: one will not be. */
static int look_for_ends(struct read_barriers *barriers, struct barriers *all, struct error *err)
{
	int known = 0;
	bool waited = false;
	for (size_t i = 0; i < all->len; i++) {
		int64_t soon_ms = waited ? 0 : clock_boot_ms() + ENDS_WAIT_MS;
		if (all->ends[i] >= 0) {
			known++;
			continue;
		}
		int rc = read_barrier_wait(barriers, &all->barriers[i], soon_ms, &all->ends[i], err);
		if (rc < 0)
			return -1;
		known += rc;
		waited = waited || rc == 0;
	}
	return known;
}

static int find_ends(struct request *request, struct barriers *all, enum wait_end *ret_end)
{
	struct read_barriers *barriers = request->gateway->barriers;
	int64_t deadline_ms = clock_boot_ms() + BARRIER_MS;
	struct error err = ERROR_INIT;
	int known;
	all->len = (size_t)topic_find(TOPIC_BUILD_REQUESTS)->partitions;
	CHECK(all->len <= PARTITIONS_MAX);
	for (size_t i = 0; i < all->len; i++) {
		all->barriers[i] = read_barrier_ask(barriers, (int32_t)i);
		all->ends[i] = -1;
	}
	do {
		known = look_for_ends(barriers, all, &err);
	} while (known >= 0 && (size_t)known < all->len && clock_boot_ms() < deadline_ms);
	if (known < 0)
		log_warn("no end of a partition", "request_id", request->id, "error", err.message, NULL);
	if (known < 0 || (size_t)known < all->len)
		return undecidable(request, "Kafka does not answer; there may be builds that are not known yet.", ret_end);
	return 0;
}

/* 1: every build below the ends is a row. 0: not yet. */
static int are_applied(struct request *request, struct db *db, const struct barriers *all, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer array;
	CLEANUP(pg_result_p) PGresult *result = NULL;
	struct json_writer w;
	buffer_init(&array, 4096);
	json_writer_init(&w, &array);
	json_array_begin(&w, NULL);
	for (size_t i = 0; i < all->len; i++)
		json_int(&w, NULL, recent_builds_end(request->gateway->recent, (int32_t)i, all->ends[i]));
	json_array_end(&w);
	CHECK(buffer_ok(&array));
	if (pg_query(db->conn, &sql_requests_applied, PG_PARAMS(array.data), 1, &result, err) < 0)
		return -1;
	return pg_bool(result, 0, "applied") ? 1 : 0;
}

static int wait_applied(struct request *request, struct db *db, enum wait_end *ret_end)
{
	struct barriers all;
	int64_t deadline_ms = clock_boot_ms() + PROOF_MS;
	if (find_ends(request, &all, ret_end) < 0)
		return -1;
	for (;;) {
		struct error err = ERROR_INIT;
		int rc = are_applied(request, db, &all, &err);
		if (rc < 0) {
			*ret_end = WAIT_UNTOLD;
			return db_problem(request, &err);
		}
		if (rc > 0)
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
