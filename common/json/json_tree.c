#include "common/json/json.h"

static void write_members(struct json_writer *w, const cJSON *tree, bool keyed)
{
	for (const cJSON *item = tree->child; item != NULL; item = item->next)
		json_tree(w, keyed ? item->string : NULL, item);
}

void json_tree(struct json_writer *w, const char *key, const cJSON *tree)
{
	if (cJSON_IsObject(tree)) {
		json_object_begin(w, key);
		write_members(w, tree, true);
		json_object_end(w);
	} else if (cJSON_IsArray(tree)) {
		json_array_begin(w, key);
		write_members(w, tree, false);
		json_array_end(w);
	} else if (cJSON_IsString(tree)) {
		json_string(w, key, tree->valuestring);
	} else if (cJSON_IsNumber(tree)) {
		json_double(w, key, tree->valuedouble);
	} else if (cJSON_IsBool(tree)) {
		json_bool(w, key, cJSON_IsTrue(tree) != 0);
	} else if (cJSON_IsRaw(tree)) {
		json_raw(w, key, tree->valuestring);
	} else {
		json_null(w, key);
	}
}
