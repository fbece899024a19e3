/* Sets of schema files, and the references between them. */
#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/json/schema_internal.h"

static int load_file(struct schema_set *set, size_t file, const struct schema_file *source, struct error *err)
{
	struct schema_loaded_file *loaded = &set->files[file];
	loaded->name = xstrdup(source->name);
	if (json_parse(source->data, source->len, &loaded->tree, err) < 0)
		return error_prefix(err, "%s", source->name);
	if (cJSON_IsArray(loaded->tree))
		return 0; /* a table that lies among the schemas */
	if (schema_compile_file(set, file, err) < 0)
		return error_prefix(err, "%s", source->name);
	return 0;
}

int schema_set_load(const struct schema_file *files, struct schema_set **ret_set, struct error *err)
{
	struct schema_set *set = xcalloc(1, sizeof(*set));
	while (files[set->files_len].name != NULL)
		set->files_len++;
	set->files = xcalloc(set->files_len, sizeof(*set->files));
	int result = 0;
	for (size_t i = 0; i < set->files_len && result == 0; i++)
		result = load_file(set, i, &files[i], err);
	if (result == 0)
		result = schema_resolve_refs(set, err);
	if (result < 0) {
		schema_set_free(set);
		return -1;
	}
	*ret_set = set;
	return 0;
}

static void free_schema(struct schema *schema)
{
	pattern_free(schema->pattern);
	free(schema->properties);
	free(schema->one_of.items);
	free(schema->any_of.items);
	free(schema->all_of.items);
	free(schema);
}

void schema_set_free(struct schema_set *set)
{
	if (set == NULL)
		return;
	for (struct schema *schema = set->all, *next; schema != NULL; schema = next) {
		next = schema->next_in_set;
		free_schema(schema);
	}
	for (size_t i = 0; i < set->files_len; i++) {
		free(set->files[i].name);
		free(set->files[i].definitions);
		cJSON_Delete(set->files[i].tree);
	}
	free(set->files);
	free(set);
}

static const struct schema_loaded_file *find_file(const struct schema_set *set, const char *name)
{
	for (size_t i = 0; i < set->files_len; i++) {
		if (str_equal(set->files[i].name, name))
			return &set->files[i];
	}
	return NULL;
}

const struct schema *schema_find(const struct schema_set *set, const char *name)
{
	const struct schema_loaded_file *file = find_file(set, name);
	return file != NULL ? file->root : NULL;
}

/* "events/a.json" and "../rest/b.json" make "rest/b.json"; NULL when it would leave the root. Heap. */
static char *join_path(const char *from, const char *relative, size_t relative_len)
{
	const char *slash = strrchr(from, '/');
	char *path = xasprintf("%.*s%.*s", slash != NULL ? (int)(slash + 1 - from) : 0, from, (int)relative_len, relative);
	char **parts = strv_split(path, '/');
	size_t kept = 0;
	bool inside = true;
	path[0] = '\0';
	for (size_t i = 0; parts[i] != NULL; i++) {
		if (str_equal(parts[i], "."))
			continue;
		if (!str_equal(parts[i], "..")) {
			char *swap = parts[kept];
			parts[kept++] = parts[i];
			parts[i] = swap;
		} else if (kept > 0) {
			kept--;
		} else {
			inside = false;
		}
	}
	size_t used = 0; /* never longer than before */
	for (size_t i = 0; i < kept; i++) {
		size_t len = strlen(parts[i]);
		if (i > 0)
			path[used++] = '/';
		memcpy(path + used, parts[i], len);
		used += len;
		path[used] = '\0';
	}
	strv_free(parts);
	if (!inside) {
		free(path);
		return NULL;
	}
	return path;
}

static struct schema *find_definition(const struct schema_loaded_file *file, const char *fragment)
{
	if (*fragment == '\0')
		return file->root;
	if (!str_starts(fragment, "/$defs/"))
		return NULL;
	for (size_t i = 0; i < file->definitions_len; i++) {
		if (str_equal(file->definitions[i].name, fragment + strlen("/$defs/")))
			return file->definitions[i].schema;
	}
	return NULL;
}

static int resolve(const struct schema_set *set, struct schema *schema, struct error *err)
{
	const struct schema_loaded_file *file = &set->files[schema->file];
	const char *hash = strchr(schema->ref_text, '#');
	size_t path_len = hash != NULL ? (size_t)(hash - schema->ref_text) : strlen(schema->ref_text);
	if (path_len > 0) {
		CLEANUP(free_p) char *path = join_path(file->name, schema->ref_text, path_len);
		const struct schema_loaded_file *other = path != NULL ? find_file(set, path) : NULL;
		if (other == NULL)
			return error_set(err, ERR_INVALID, "%s: $ref \"%s\": no such file", file->name, schema->ref_text);
		file = other;
	}
	schema->ref = find_definition(file, hash != NULL ? hash + 1 : "");
	if (schema->ref == NULL)
		return error_set(err, ERR_INVALID, "%s: $ref \"%s\": not found there (only #/$defs/NAME can be named)",
						 set->files[schema->file].name, schema->ref_text);
	return 0;
}

static int check_circles(const struct schema_set *set, struct schema *schema, struct error *err);

static int check_list(const struct schema_set *set, const struct schema_list *list, struct error *err)
{
	int result = 0;
	for (size_t i = 0; i < list->len && result == 0; i++)
		result = check_circles(set, list->items[i], err);
	return result;
}

/* Schemas that apply to the same value must not come back to themselves: validation would not end. */
static int check_circles(const struct schema_set *set, struct schema *schema, struct error *err)
{
	if (schema->cycle_mark == CYCLE_DONE)
		return 0;
	if (schema->cycle_mark == CYCLE_OPEN)
		return error_set(err, ERR_INVALID, "%s: a $ref leads back to itself", set->files[schema->file].name);
	schema->cycle_mark = CYCLE_OPEN;
	if (schema->ref != NULL && check_circles(set, schema->ref, err) < 0)
		return -1;
	if (check_list(set, &schema->one_of, err) < 0 || check_list(set, &schema->any_of, err) < 0 ||
		check_list(set, &schema->all_of, err) < 0)
		return -1;
	schema->cycle_mark = CYCLE_DONE;
	return 0;
}

int schema_resolve_refs(struct schema_set *set, struct error *err)
{
	for (struct schema *schema = set->all; schema != NULL; schema = schema->next_in_set) {
		if (schema->ref_text != NULL && resolve(set, schema, err) < 0)
			return -1;
	}
	for (struct schema *schema = set->all; schema != NULL; schema = schema->next_in_set) {
		if (check_circles(set, schema, err) < 0)
			return -1;
	}
	return 0;
}
