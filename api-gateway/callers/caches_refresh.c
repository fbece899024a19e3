/*
 * What the caches' thread asks Postgres. No statement answers more than its limit: what changed is asked for by keys
 * and versions, and only what memory does not have is read whole, by pages, like everything at a reload. The texts of
 * templates, which are large, are not read here at all.
 */
#include "api-gateway/callers/caches_private.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

/* What changed is asked for this far back: longer than a transaction can last, and than the pause of CATCH_UP_MS
 * (caches_follow.c). */
#define WINDOW_S "40"
#define CHANGED_ROWS "10000" /* the latest ones of the window */
#define PAGE_ROWS 100        /* a token has 64 KiB at most, a project less */
#define KEYS_MAX_BYTES ((size_t)PAGE_ROWS * 128)
#define MAX_TEMPLATE_NAMES 100000
#define BEFORE_ALL_IDS "ffffffff-ffff-ffff-ffff-ffffffffffff"
/* A walk does not begin again while it lasts, but what changes is looked for about as often as otherwise. */
#define REFRESH_BETWEEN_PAGES_MS 1000

struct kind {
	const struct pg_statement *changed, *page;
	const struct pg_statement *some; /* by keys; NULL: nothing is read in advance */
	const char *key;                 /* the column that `some` asks by */
	const char *page_key, *first;    /* the column that pages go by; before all of it */
	size_t max_rows;
	/* A changed row; true: it is to be read. */
	bool (*see)(struct caches *caches, const PGresult *rows, int row);
	/* Rows of `some` or `page`; how many bytes of memory they take. */
	size_t (*take)(struct caches *caches, const PGresult *rows);
};

static bool see_token(struct caches *caches, const PGresult *rows, int row)
{
	uint8_t hash[SHA256_SIZE];
	const char *hex = pg_text(rows, row, "hash");
	if (hex_decode(hex, strlen(hex), hash, sizeof(hash)) < 0)
		return false;
	if (pg_bool(rows, row, "revoked")) {
		caches_drop_token(caches, hash);
		return false;
	}
	CLEANUP(api_token_unref_p) struct api_token *known = caches_token(caches, hash);
	return known == NULL;
}

static size_t take_tokens(struct caches *caches, const PGresult *rows)
{
	size_t bytes = 0;
	for (int row = 0; row < PQntuples(rows); row++) {
		CLEANUP(api_token_unref_p) struct api_token *token = api_token_from_row(rows, row);
		if (token == NULL)
			continue;
		caches_put_token(caches, token);
		bytes += token->shared.bytes;
	}
	return bytes;
}

static bool see_project(struct caches *caches, const PGresult *rows, int row)
{
	const char *id = pg_text(rows, row, "id");
	if (pg_bool(rows, row, "deleted")) {
		caches_drop_project(caches, id, pg_text(rows, row, "name"));
		return false;
	}
	CLEANUP(project_unref_p) struct project *known = caches_project(caches, id);
	/* One that has become permanent is of the same version. */
	return known == NULL || known->version < pg_int(rows, row, "version", 0) ||
		   known->provisional != pg_bool(rows, row, "provisional");
}

static size_t take_projects(struct caches *caches, const PGresult *rows)
{
	size_t bytes = 0;
	for (int row = 0; row < PQntuples(rows); row++) {
		CLEANUP(project_unref_p) struct project *project = project_from_row(rows, row);
		caches_put_project(caches, project);
		bytes += project->shared.bytes;
	}
	return bytes;
}

/* What is in memory under the name is forgotten when there is a newer version; whoever asks for it next has it read. */
static bool see_template(struct caches *caches, const PGresult *rows, int row)
{
	const char *name = pg_text(rows, row, "name");
	CLEANUP(template_unref_p) struct template *known = caches_template(caches, name);
	if (known != NULL && known->version < pg_int(rows, row, "version", 0))
		shared_map_remove(caches->templates, name, strlen(name));
	else if (known != NULL)
		shared_map_sweep_keep(caches->templates, &known->shared);
	return false;
}

static size_t take_template_names(struct caches *caches, const PGresult *rows)
{
	for (int row = 0; row < PQntuples(rows); row++)
		(void)see_template(caches, rows, row); /* nothing is read */
	return 0;
}

static const struct kind kinds[] = {
	/* The first one: a revoked token must stop, whatever is slow. */
	{.changed = &sql_cache_tokens_changed,
	 .page = &sql_cache_tokens_page,
	 .some = &sql_cache_tokens,
	 .key = "hash",
	 .page_key = "id",
	 .first = BEFORE_ALL_IDS,
	 .max_rows = CACHES_MAX_TOKENS,
	 .see = see_token,
	 .take = take_tokens},
	{.changed = &sql_cache_projects_changed,
	 .page = &sql_cache_projects_page,
	 .some = &sql_cache_projects,
	 .key = "id",
	 .page_key = "id",
	 .first = BEFORE_ALL_IDS,
	 .max_rows = CACHES_MAX_PROJECTS,
	 .see = see_project,
	 .take = take_projects},
	{.changed = &sql_cache_templates_changed,
	 .page = &sql_cache_template_names,
	 .page_key = "name",
	 .first = "",
	 .max_rows = MAX_TEMPLATE_NAMES,
	 .see = see_template,
	 .take = take_template_names},
};

static int read_some(struct caches *caches, const struct kind *kind, struct pg_array *keys, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (keys->len == 0)
		return 0;
	if (pg_query(caches->conn, kind->some, PG_PARAMS(pg_array_text(keys)), 1, &rows, err) < 0)
		return -1;
	(void)kind->take(caches, rows); /* as few as can be: the maps have their limits */
	pg_array_clear(keys);
	return 0;
}

static int refresh_kind(struct caches *caches, const struct kind *kind, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *changed = NULL;
	if (pg_query(caches->conn, kind->changed, PG_PARAMS(WINDOW_S, CHANGED_ROWS), 2, &changed, err) < 0)
		return -1;
	caches_looked(caches);
	CLEANUP(pg_array_release) struct pg_array keys;
	pg_array_init(&keys, KEYS_MAX_BYTES);
	for (int row = 0; row < PQntuples(changed); row++) {
		if (!kind->see(caches, changed, row))
			continue;
		pg_array_add(&keys, pg_text(changed, row, kind->key));
		if (keys.len == PAGE_ROWS && read_some(caches, kind, &keys, err) < 0)
			return -1;
	}
	return read_some(caches, kind, &keys, err);
}

int caches_refresh(struct caches *caches, struct error *err)
{
	int64_t began_ms = clock_boot_ms();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (refresh_kind(caches, &kinds[i], err) < 0)
			return -1;
	}
	caches->refreshed_ms = began_ms;
	return 0;
}

static void walk_begin(struct reload *reload, size_t kind)
{
	reload->kind = kind;
	reload->rows = reload->bytes = 0;
	if (kind < ARRAY_LEN(kinds))
		(void)snprintf(reload->last, sizeof(reload->last), "%s", kinds[kind].first);
}

/* What is left of a kind, as far as there is room for it, the newest first (templates: by name). */
static int walk(struct caches *caches, struct reload *reload, struct error *err)
{
	const struct kind *kind = &kinds[reload->kind];
	while (reload->rows < kind->max_rows && reload->bytes < CACHES_MAX_BYTES / 4 * 3) {
		CLEANUP(pg_result_p) PGresult *rows = NULL;
		if (atomic_load(&caches->stop))
			return error_set(err, ERR_UNAVAILABLE, "the gateway stops");
		if (pg_query(caches->conn, kind->page, PG_PARAMS(reload->last, LOG_INT(PAGE_ROWS)), 2, &rows, err) < 0)
			return -1;
		reload->rows += PAGE_ROWS;
		reload->bytes += kind->take(caches, rows);
		int count = PQntuples(rows);
		if (count < PAGE_ROWS)
			return 0;
		(void)snprintf(reload->last, sizeof(reload->last), "%s", pg_text(rows, count - 1, kind->page_key));
		if (clock_boot_ms() - caches->refreshed_ms >= REFRESH_BETWEEN_PAGES_MS && caches_refresh(caches, err) < 0)
			return -1;
	}
	return 0;
}

int caches_reload(struct caches *caches, struct error *err)
{
	struct shared_map *maps[] = {caches->tokens, caches->projects_by_id, caches->projects_by_name, caches->templates};
	struct reload *reload = &caches->reload;
	if (caches_ask_secret(caches, err) < 0)
		return -1;
	if (!reload->under_way) {
		*reload = (struct reload){.under_way = true, .began_ms = clock_boot_ms()};
		caches->reload_due = false;
		walk_begin(reload, 0);
		for (size_t i = 0; i < ARRAY_LEN(maps); i++)
			shared_map_sweep_begin(maps[i]);
	}
	for (; reload->kind < ARRAY_LEN(kinds); walk_begin(reload, reload->kind + 1)) {
		if (walk(caches, reload, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		shared_map_sweep_end(maps[i]);
	reload->under_way = false;
	caches->reloaded_ms = reload->began_ms;
	return caches_refresh(caches, err); /* it may have taken longer than what a refresh looks back */
}

int caches_ask_secret(struct caches *caches, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *rows = NULL;
	if (pg_query(caches->conn, &sql_cache_deployment, NULL, 0, &rows, err) < 0)
		return -1;
	if (atomic_load(&caches->secret_len) > 0)
		return 0;
	const char *hex = PQntuples(rows) > 0 ? pg_text(rows, 0, "secret") : "";
	size_t len = strlen(hex) / 2;
	if (len == 0 || len > CACHES_SECRET_MAX || hex_decode(hex, strlen(hex), caches->secret, len) < 0)
		return error_set(err, ERR_INTERNAL, "the table deployment has no usable secret: run kiln-migrate");
	atomic_store_explicit(&caches->secret_len, len, memory_order_release);
	return 0;
}
