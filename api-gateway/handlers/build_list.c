/* GET /projects/{id}/builds: without filters by the index of the project; with some by the lists that ended builds
 * stand in (migrations/0011_lists.sql); in a project with too many kinds of builds by looking at a bounded number of
 * them. */
#include "api-gateway/handlers.h"
#include "api-gateway/builds/build_row.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/builds/recent_builds.h"
#include "kiln_gateway_sql.h"

/* Runs of one status and class that a page is merged from: 20 us each. */
#define KINDS_MAX 250
/* Builds that a page looks at where there are more: 5 us each. */
#define WALK_MAX 2000
#define LABELS_MAX_BYTES ((size_t)FILTER_LABELS_MAX * 80)

struct list {
	struct request *request;
	const char *project_id;
	struct page_bounds bounds;
	char tag[CURSOR_TAG_SIZE];
	struct pg_array labels;
};

static void list_release(struct list *list)
{
	pg_array_release(&list->labels);
}

static void write_item(struct list *list, struct page *page, const PGresult *rows, int row)
{
	json_object_begin(&page->w, NULL);
	build_row_write(&page->w, rows, row);
	json_raw(&page->w, "metadata", pg_text(rows, row, "metadata"));
	json_object_end(&page->w);
	recent_builds_mark_shown(list->request->gateway->recent, pg_text(rows, row, "id"));
}

static void continue_after(struct list *list, struct page *page, const PGresult *rows, int row)
{
	/* The page looks at buffer_ok. */
	(void)cursor_append_place(&page->next, CURSOR_BUILDS, pg_text(rows, row, "created_at"), pg_text(rows, row, "id"));
	(void)cursor_append_tag(&page->next, list->tag);
}

static void write_page(struct list *list, const PGresult *rows)
{
	struct page page;
	bool empty = PQntuples(rows) == 1 && pg_text(rows, 0, "id") == NULL; /* only build-list-filtered's `kinds` */
	page_begin_measured(&page, list->request, rows, empty ? 0 : PQntuples(rows));
	for (int row = 0; row < page.rows; row++)
		write_item(list, &page, rows, row);
	if (page.more)
		continue_after(list, &page, rows, page.rows - 1);
	page_end(&page, list->request);
}

/* A bounded number of builds was looked at. These are the ones that `fits` says; the `last` one only says where to go
 * on. Such a page may be short, or empty, with more to come. */
static void write_walk(struct list *list, const PGresult *rows)
{
	struct page page;
	page_begin_open(&page, list->request);
	int last = -1, found = PQntuples(rows);
	for (int row = 0; row < found; row++) {
		if (pg_bool(rows, row, "fits") && page.rows == list->request->query.limit) {
			continue_after(list, &page, rows, last);
			break;
		}
		if (pg_bool(rows, row, "fits")) {
			write_item(list, &page, rows, row);
			page.rows++;
		}
		last = row;
		bool is_cut = row + 1 == found && pg_bool(rows, row, "more");
		if (pg_bool(rows, row, "last") || is_cut)
			continue_after(list, &page, rows, row);
	}
	page_end(&page, list->request);
}

static int query_plain(struct list *list, struct db *db, struct error *err)
{
	const char *params[] = {list->project_id,
							list->bounds.created_at,
							list->bounds.id,
							list->bounds.from,
							LOG_INT(list->request->query.limit + 1),
							PAGE_MAX_BYTES};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db->conn, &sql_build_list, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	write_page(list, rows);
	return 0;
}

static int query_filtered(struct list *list, struct db *db, struct error *err)
{
	const struct filter *filter = list->request->query.filter;
	const char *params[] = {list->project_id,
							filter_param(filter->status),
							filter_param(filter->agent),
							pg_array_text(&list->labels),
							filter_param(filter->branch),
							filter_param(filter->template),
							filter_param(filter->commit),
							list->bounds.created_at,
							list->bounds.id,
							list->bounds.from,
							LOG_INT(list->request->query.limit + 1),
							LOG_INT(KINDS_MAX + 1),
							PAGE_MAX_BYTES};
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(db->conn, &sql_build_list_filtered, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	if (pg_int(rows, 0, "kinds", 0) <= KINDS_MAX) {
		write_page(list, rows);
		return 0;
	}
	PQclear(rows);
	rows = NULL;
	params[ARRAY_LEN(params) - 2] = LOG_INT(WALK_MAX);
	if (pg_query(db->conn, &sql_build_list_walk, params, ARRAY_LEN(params), &rows, err) < 0)
		return -1;
	write_walk(list, rows);
	return 0;
}

/* Is there more than times, which are bounds of every list? */
static bool chooses(const struct filter *filter)
{
	return filter != NULL && (filter->status[0] != '\0' || filter->branch[0] != '\0' || filter->agent[0] != '\0' ||
							  filter->labels_len > 0 || filter->template[0] != '\0' || filter->commit[0] != '\0');
}

bool build_list(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(project_unref_p) struct project *project = NULL;
	CLEANUP(list_release) struct list list = {.request = request};
	struct cursor_place place;
	bool has_place;
	pg_array_init(&list.labels, LABELS_MAX_BYTES);
	if (db_take(request, &db) < 0 || handler_project(request, &db, true, &project) < 0 ||
		page_place_filtered(request, CURSOR_BUILDS, project->id, &place, &has_place, list.tag) < 0)
		return true;
	const struct filter *filter = request->query.filter;
	list.project_id = project->id;
	list.bounds = page_bounds(request, &place, has_place);
	for (size_t i = 0; filter != NULL && i < filter->labels_len; i++)
		pg_array_add(&list.labels, filter->labels[i]);
	struct error err = ERROR_INIT;
	if ((chooses(filter) ? query_filtered(&list, &db, &err) : query_plain(&list, &db, &err)) < 0)
		(void)db_problem(request, &err);
	return true;
}
