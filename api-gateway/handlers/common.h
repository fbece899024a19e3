/* What handlers share: pages of lists, the project of the path, validation of a body. */
#pragma once

#include "api-gateway/lists/cursor.h"
#include "api-gateway/requests/once.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/base/log.h"
#include "common/pg/pg.h"

/* A page {items, next_cursor} with Link: one row more than the limit was asked for, and tells whether there are more.
 */
struct page {
	struct json_writer w; /* inside of items */
	int rows;             /* how many to write */
	bool more;
	struct buffer next; /* the handler appends the cursor when there is more */
};

void page_begin(struct page *page, struct request *request, int found_rows);
/* The same of rows whose statement ends a page early, behind PAGE_MAX_BYTES (its last parameter; one row at least), and
 * says of each in `more` whether another follows. */
#define PAGE_MAX_BYTES "8388608"
void page_begin_measured(struct page *page, struct request *request, const PGresult *rows, int found_rows);
/* For pages whose size is not known by rows: the handler counts. */
void page_begin_open(struct page *page, struct request *request);
/* Ends items, writes next_cursor and Link. */
void page_end(struct page *page, struct request *request);
/* Link: rel="next" to the same list with this cursor (NULL: there is none), and rel="first" when this is not it, but not of a
 * list by sequence, which begins wherever `after` was. */
void page_link(struct request *request, const char *cursor);

/* The cursor of the query, if given. -1: request->answer is 400. */
int page_place(struct request *request, enum cursor_kind kind, struct cursor_place *ret_place,
			   bool *ret_has_place) MUST_CHECK;
/* The same for a list with filters, of a project (its id) or of all (""). ret_tag: append it to the next cursor. */
int page_place_filtered(struct request *request, enum cursor_kind kind, const char *owner,
						struct cursor_place *ret_place, bool *ret_has_place, char ret_tag[CURSOR_TAG_SIZE]) MUST_CHECK;
/* Where a page begins, for `(created_at, id) < ($place)` and `created_at >= $from`: at the cursor's place, or at the
 * time that the filter names, or at the end. */
struct page_bounds {
	const char *created_at, *id, *from;
};
struct page_bounds page_bounds(const struct request *request, const struct cursor_place *place, bool has_place);
/* For what a build (request->param) has in the order of its sequence. `after` or the cursor; 0 when neither is given. */
int page_sequence(struct request *request, enum cursor_kind kind, int64_t *ret_after) MUST_CHECK;
/* The cursor of what follows `sequence`. */
int page_append_sequence(const struct request *request, struct buffer *buf, enum cursor_kind kind, int64_t sequence);

/* The project that the path names, by id or name, if the token may see it; else 404. with_deleted: a deleted one is
 * found by id. */
int handler_project(struct request *request, struct db *db, bool with_deleted, struct project **ret_project) MUST_CHECK;

/* The same of an existing one, by Postgres and not by memory: for what changes it. */
int handler_project_of_now(struct request *request, struct db *db, struct project **ret_project) MUST_CHECK;

/* For what tells of every project: 403 when the token is for some projects only, whatever its scopes. */
int handler_all_projects(struct request *request) MUST_CHECK;

/* The build of the path as a stream, from Last-Event-ID, `after` or the cursor on; as a whole, or 204, when the build
 * has ended and a page holds the rest. */
bool build_stream(struct request *request, enum stream_kind kind, enum cursor_kind cursor);

typedef void body_check(struct request *request, const cJSON *body, struct schema_problems *problems);

/* Reads the body and validates it against `schema`. -1: 4xx. */
int handler_body(struct request *request, const struct schema *schema, bool merge_patch, cJSON **ret_body) MUST_CHECK;
/* The same with rules that a schema cannot say, added by `check` for an object whatever the schema says of it. */
int handler_body_with(struct request *request, const struct schema *schema, bool merge_patch, body_check *check,
					  cJSON **ret_body) MUST_CHECK;
/* Of a POST that needs no body: there is none, or one without fields. -1: 4xx. */
int handler_no_body(struct request *request) MUST_CHECK;
/* As handler_body, with once_begin, which gives `db`; rules that a schema cannot say are added by `check`. They may
 * depend on the time and the configuration: a key that is known is answered before they are heard. -1: answered. */
int handler_body_once(struct request *request, const struct schema *schema, body_check *check, struct db *db,
					  struct once *ret_once, cJSON **ret_body) MUST_CHECK;

/* Appends a JSON array of the names. False, and nothing is appended: `names` is NULL (all). */
bool json_names(struct buffer *buf, char *const *names);
