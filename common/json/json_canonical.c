#include "common/base/alloc.h"
#include "common/json/json_internal.h"

#define SMALL_OBJECT 32

/* UTF-16 order on UTF-8: bytes compare like code points, and so like UTF-16, but for U+E000 to U+FFFF (lead bytes EE,
 * EF), which UTF-16 puts behind the surrogates of everything above (lead bytes F0 to F4). */
static int compare_utf16(const char *a, const char *b)
{
	const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
	while (*x == *y && *x != '\0') {
		x++;
		y++;
	}
	if (*x >= 0xEE && *y >= 0xEE && (*x >= 0xF0) != (*y >= 0xF0))
		return *x >= 0xF0 ? -1 : 1;
	return (int)*x - (int)*y;
}

static int compare_members(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;
	return compare_utf16((*x)->string, (*y)->string);
}

static void sort_small(const cJSON **members, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const cJSON *member = members[i];
		size_t at = i;
		for (; at > 0 && compare_members(&members[at - 1], &member) > 0; at--)
			members[at] = members[at - 1];
		members[at] = member;
	}
}

static void write_value(struct json_writer *w, const char *key, const cJSON *tree);

static void write_object(struct json_writer *w, const char *key, const cJSON *object)
{
	const cJSON *few[SMALL_OBJECT];
	size_t count = 0, used = 0;
	for (const cJSON *item = object->child; item != NULL; item = item->next)
		count++;
	const cJSON **members = count <= SMALL_OBJECT ? few : xreallocarray(NULL, count, sizeof(const cJSON *));
	for (const cJSON *item = object->child; item != NULL; item = item->next)
		members[used++] = item;
	if (count <= SMALL_OBJECT)
		sort_small(members, count);
	else
		qsort(members, count, sizeof(const cJSON *), compare_members);
	json_object_begin(w, key);
	for (size_t i = 0; i < count; i++)
		write_value(w, members[i]->string, members[i]);
	json_object_end(w);
	if (members != few)
		free(members);
}

static void write_value(struct json_writer *w, const char *key, const cJSON *tree)
{
	if (cJSON_IsObject(tree)) {
		write_object(w, key, tree);
	} else if (cJSON_IsArray(tree)) {
		json_array_begin(w, key);
		for (const cJSON *item = tree->child; item != NULL; item = item->next)
			write_value(w, NULL, item);
		json_array_end(w);
	} else {
		json_tree(w, key, tree);
	}
}

int json_canonical(struct buffer *buf, const cJSON *tree)
{
	struct json_writer w;
	json_writer_init(&w, buf);
	write_value(&w, NULL, tree);
	return buffer_ok(buf) ? 0 : -1;
}
