#include "migrate/verify_audit.h"

#include <stdio.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/model/event_types.h"
#include "kiln_migrate_sql.h"

#define HEX_HASH ((size_t)2 * SHA256_SIZE)
#define MAX_BODY_BYTES ((size_t)1024 * 1024) /* as in sql/audit_declare_events.sql */

/* One of the two cursors: a page of rows and the place in it. */
struct cursor {
	struct pg_conn *conn;
	const struct pg_statement *fetch;
	PGresult *page;
	int row;
	bool at_end;
};

/* The trail that is being read. */
struct chain {
	char build_id[40]; /* empty: none yet */
	int64_t sequence;
	char hash[HEX_HASH + 1];
	bool ended;
	char announced[16]; /* the terminal status that the last event says is next; empty: none */
};

static void cursor_release(struct cursor *cursor)
{
	PQclear(cursor->page);
	cursor->page = NULL;
}

/* To the next row, perhaps of the next page. */
static int cursor_next(struct cursor *cursor, struct error *err)
{
	cursor->row++;
	if (cursor->page != NULL && cursor->row < PQntuples(cursor->page))
		return 0;
	cursor_release(cursor);
	if (pg_query(cursor->conn, cursor->fetch, NULL, 0, &cursor->page, err) < 0)
		return -1;
	cursor->row = 0;
	cursor->at_end = PQntuples(cursor->page) == 0;
	return 0;
}

static const char *cursor_build(const struct cursor *cursor)
{
	return pg_text(cursor->page, cursor->row, "build_id");
}

static void broken(struct audit_verdict *verdict, const char *kind, const char *build_id, int64_t sequence)
{
	verdict->broken = kind;
	(void)snprintf(verdict->build_id, sizeof(verdict->build_id), "%s", build_id); /* a uuid fits */
	verdict->sequence = sequence;
}

static bool is_terminal(const char *status)
{
	return str_equal(status, "completed") || str_equal(status, "failed") || str_equal(status, "cancelled");
}

/* The type is in no body; but a terminal one goes with its status, and no other does until the trail has ended: only
 * the loss that ends a build says so before its end. */
static bool status_fits(const char *type, const char *status, bool ended)
{
	if (status == NULL)
		return false;
	if (event_type_ends_build(type))
		return str_equal(type + strlen("build."), status);
	return is_terminal(status) == ended || str_equal(type, "build.attempt_lost");
}

/* Does the body say what its row says? `hex` NULL: it was too large to be fetched. */
static bool body_fits(const char *hex, const PGresult *page, int row, struct chain *chain)
{
	chain->announced[0] = '\0';
	if (hex == NULL)
		return true;
	struct error err = ERROR_INIT;
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	size_t len = strlen(hex) / 2;
	CHECK(len <= MAX_BODY_BYTES);
	CLEANUP(free_p) char *body = xmalloc(len + 1);
	if (hex_decode(hex, 2 * len, body, len) < 0 || json_parse(body, len, &tree, &err) < 0)
		return false;
	const char *type = pg_text(page, row, "type"), *status = json_get_string(tree, "status");
	if (!chain->ended && !event_type_ends_build(type) && is_terminal(status))
		(void)snprintf(chain->announced, sizeof(chain->announced), "%s", status); /* one of three */
	return str_equal(json_get_string(tree, "build_id"), pg_text(page, row, "build_id")) &&
		   json_get_int(tree, "sequence", -1) == pg_int(page, row, "sequence", 0) &&
		   json_get_int(tree, "attempt", -1) == pg_int(page, row, "attempt", 0) &&
		   status_fits(type, status, chain->ended);
}

/* Is it the end that the event before has told? */
static bool is_announced(const struct chain *chain, const char *type)
{
	return chain->announced[0] == '\0' ||
		   (event_type_ends_build(type) && str_equal(type + strlen("build."), chain->announced));
}

static void look_at_event(struct chain *chain, const struct cursor *events, struct audit_verdict *verdict)
{
	const PGresult *page = events->page;
	int row = events->row;
	int64_t sequence = pg_int(page, row, "sequence", 0);
	const char *type = pg_text(page, row, "type"), *hash = pg_text(page, row, "hash");

	verdict->events++;
	if (sequence != chain->sequence + 1)
		broken(verdict, "missing", chain->build_id, chain->sequence + 1);
	else if (!str_equal(hash, pg_text(page, row, "expected")))
		broken(verdict, "hash", chain->build_id, sequence);
	else if (chain->ended && !str_equal(type, "build.late_commit"))
		broken(verdict, "after_end", chain->build_id, sequence);
	else if (!is_announced(chain, type))
		broken(verdict, "no_terminal", chain->build_id, chain->sequence);
	else if (!body_fits(pg_text(page, row, "body"), page, row, chain))
		broken(verdict, "body", chain->build_id, sequence);
	chain->sequence = sequence;
	(void)snprintf(chain->hash, sizeof(chain->hash), "%s", hash); /* compared above: it has that length */
	chain->ended = chain->ended || event_type_ends_build(type);
}

/* All events of one build that has a row. */
static int look_at_build(const struct cursor *builds, struct cursor *events, struct audit_verdict *verdict,
						 struct error *err)
{
	struct chain chain = {.sequence = 0};

	(void)snprintf(chain.build_id, sizeof(chain.build_id), "%s", cursor_build(builds)); /* a uuid fits */
	memset(chain.hash, '0', HEX_HASH);
	verdict->builds++;
	while (!events->at_end && verdict->broken == NULL && str_equal(cursor_build(events), chain.build_id)) {
		look_at_event(&chain, events, verdict);
		if (verdict->broken == NULL && cursor_next(events, err) < 0)
			return -1;
	}
	if (verdict->broken != NULL)
		return 0;
	if (pg_int(builds->page, builds->row, "last_sequence", -1) != chain.sequence ||
		!str_equal(pg_text(builds->page, builds->row, "last_hash"), chain.hash))
		broken(verdict, "end", chain.build_id, chain.sequence + 1);
	else if (pg_bool(builds->page, builds->row, "ended") != chain.ended || chain.announced[0] != '\0')
		broken(verdict, "no_terminal", chain.build_id, chain.sequence);
	return 0;
}

/* Both cursors are in the order of build ids; as text, a uuid sorts like its bytes. */
static int walk(struct cursor *builds, struct cursor *events, struct audit_verdict *verdict, struct error *err)
{
	if (cursor_next(builds, err) < 0 || cursor_next(events, err) < 0)
		return -1;
	while (verdict->broken == NULL && (!builds->at_end || !events->at_end)) {
		if (builds->at_end || (!events->at_end && strcmp(cursor_build(events), cursor_build(builds)) < 0)) {
			broken(verdict, "no_build", cursor_build(events), pg_int(events->page, events->row, "sequence", 0));
			return 0;
		}
		if (look_at_build(builds, events, verdict, err) < 0 ||
			(verdict->broken == NULL && cursor_next(builds, err) < 0))
			return -1;
	}
	return 0;
}

int verify_audit(struct pg_conn *conn, struct audit_verdict *ret_verdict, struct error *err)
{
	struct audit_verdict verdict = {.builds = 0};

	if (pg_begin(conn, err) < 0)
		return -1;
	/* In the order of the keys, without a sort of everything. */
	int rc = pg_run(conn,
					"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
					"SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off",
					err);
	if (rc == 0)
		rc = pg_query(conn, &sql_audit_declare_builds, NULL, 0, NULL, err);
	if (rc == 0)
		rc = pg_query(conn, &sql_audit_declare_events, NULL, 0, NULL, err);
	if (rc == 0) {
		CLEANUP(cursor_release) struct cursor builds = {.conn = conn, .fetch = &sql_audit_fetch_builds};
		CLEANUP(cursor_release) struct cursor events = {.conn = conn, .fetch = &sql_audit_fetch_events};
		rc = walk(&builds, &events, &verdict, err);
	}
	pg_rollback(conn); /* it has only read */
	if (rc == 0)
		*ret_verdict = verdict;
	return rc;
}

void audit_verdict_write(const struct audit_verdict *verdict, struct buffer *line)
{
	struct json_writer w;

	json_writer_init(&w, line);
	json_object_begin(&w, NULL);
	json_bool(&w, "ok", verdict->broken == NULL);
	json_int(&w, "builds", verdict->builds);
	json_int(&w, "events", verdict->events);
	if (verdict->broken != NULL) {
		json_object_begin(&w, "broken");
		json_string(&w, "build_id", verdict->build_id);
		json_int(&w, "sequence", verdict->sequence);
		json_string(&w, "kind", verdict->broken);
		json_object_end(&w);
	}
	json_object_end(&w);
	CHECK(buffer_append_str(line, "\n") == 0 && buffer_ok(line));
}
