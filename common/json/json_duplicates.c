#include "common/base/alloc.h"
#include "common/base/utf8.h"
#include "common/json/json_internal.h"

/* Up to here every key is compared with those before it when a 64-bit filter says "maybe"; above, keys are sorted:
 * an object of 100,000 keys, or of keys made to collide in a hash, must not be quadratic. */
#define SMALL_OBJECT 64

#define QUOTE_BYTES 66 /* of the key, with its quotes */

static unsigned filter_bit(const char *key)
{
	unsigned hash = 2166136261U;
	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619U;
	return hash >> 26;
}

static int compare_keys(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;
	return strcmp((*x)->string, (*y)->string);
}

static const cJSON *find_in_large(const cJSON *object, size_t count)
{
	const cJSON **sorted = xreallocarray(NULL, count, sizeof(const cJSON *));
	size_t used = 0;
	for (const cJSON *item = object->child; item != NULL; item = item->next)
		sorted[used++] = item;
	qsort(sorted, used, sizeof(const cJSON *), compare_keys);
	const cJSON *found = NULL;
	for (size_t i = 1; i < used && found == NULL; i++) {
		if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
			found = sorted[i];
	}
	free(sorted);
	return found;
}

/* A member whose key another one has too, or NULL. */
static const cJSON *find_duplicate(const cJSON *object)
{
	uint64_t seen = 0;
	size_t count = 0;
	for (const cJSON *item = object->child; item != NULL; item = item->next) {
		if (++count > SMALL_OBJECT)
			continue;
		uint64_t bit = UINT64_C(1) << filter_bit(item->string);
		if ((seen & bit) != 0) {
			for (const cJSON *earlier = object->child; earlier != item; earlier = earlier->next) {
				if (strcmp(earlier->string, item->string) == 0)
					return item;
			}
		}
		seen |= bit;
	}
	return count > SMALL_OBJECT ? find_in_large(object, count) : NULL;
}

static const cJSON *find_in_tree(const cJSON *tree)
{
	const cJSON *found = cJSON_IsObject(tree) ? find_duplicate(tree) : NULL;
	for (const cJSON *item = tree->child; item != NULL && found == NULL; item = item->next) {
		if (item->child != NULL)
			found = find_in_tree(item);
	}
	return found;
}

/* How many keys the text has up to and with the member `target`; *ret_found tells that it was reached. */
static size_t count_keys(const cJSON *tree, const cJSON *target, bool *ret_found)
{
	size_t count = 0;
	for (const cJSON *item = tree->child; item != NULL && !*ret_found; item = item->next) {
		if (item->string != NULL)
			count++;
		if (item == target)
			*ret_found = true;
		else
			count += count_keys(item, target, ret_found);
	}
	return count;
}

/* The n-th key (from 1) of a text that passed json_check, as it is written, with its quotes. */
static const char *find_key(const char *data, size_t len, size_t n, size_t *ret_len)
{
	for (size_t at = 0; at < len; at++) {
		if (data[at] != '"')
			continue;
		size_t first = at++;
		while (at < len && data[at] != '"')
			at += data[at] == '\\' ? 2 : 1;
		size_t next = at + 1;
		while (next < len && (data[next] == ' ' || data[next] == '\n' || data[next] == '\t' || data[next] == '\r'))
			next++;
		if (next < len && data[next] == ':' && --n == 0) {
			*ret_len = at + 1 - first;
			return data + first;
		}
	}
	CHECK(!"the key is in the text");
	return NULL;
}

int json_check_duplicates(const cJSON *tree, const char *data, size_t len, struct error *err)
{
	const cJSON *duplicate = find_in_tree(tree);
	if (duplicate == NULL)
		return 0;
	/* The tree has no offsets: they are found again, only now that one is wanted. */
	bool found = false;
	size_t n = count_keys(tree, duplicate, &found), key_len = 0;
	CHECK(found);
	const char *key = find_key(data, len, n, &key_len);
	size_t shown = utf8_cut(key, key_len, QUOTE_BYTES);
	return error_set(err, ERR_INVALID, "byte %zu: duplicate key %.*s%s", (size_t)(key - data), (int)shown, key,
					 shown < key_len ? "…" : "");
}
