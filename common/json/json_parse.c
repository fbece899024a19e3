#include "common/json/json_internal.h"

int json_parse(const char *data, size_t len, cJSON **ret_tree, struct error *err)
{
	if (json_check(data, len, err) < 0)
		return -1;
	cJSON *tree = cJSON_ParseWithLength(data, len);
	if (tree == NULL) /* json_check is stricter, so this is memory or a bug; no reason to die of a client's bytes */
		return error_set(err, ERR_INTERNAL, "cJSON refused a checked text");
	if (json_check_duplicates(tree, data, len, err) < 0) {
		cJSON_Delete(tree);
		return -1;
	}
	*ret_tree = tree;
	return 0;
}
