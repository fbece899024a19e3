#include "common/base/str.h"

#include "common/base/alloc.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int str_split(const char *text, char separator, int (*each)(void *ctx, const char *part, size_t len), void *ctx)
{
	for (const char *at = text;;) {
		const char *end = at;
		while (*end != '\0' && *end != separator)
			end++;
		const char *first = at, *last = end;
		while (first < last && is_blank(*first))
			first++;
		while (last > first && is_blank(last[-1]))
			last--;
		if (first < last) {
			int result = each(ctx, first, (size_t)(last - first));
			if (result != 0)
				return result;
		}
		if (*end == '\0')
			return 0;
		at = end + 1;
	}
}

struct collect {
	char **list;
	size_t len, size;
};

static int collect_part(void *ctx, const char *part, size_t len)
{
	struct collect *collect = ctx;
	if (collect->len + 1 >= collect->size) {
		collect->size *= 2;
		collect->list = xreallocarray(collect->list, collect->size, sizeof(char *));
	}
	collect->list[collect->len++] = xstrndup(part, len);
	collect->list[collect->len] = NULL;
	return 0;
}

char **strv_split(const char *text, char separator)
{
	struct collect collect = {.size = 4};
	collect.list = xcalloc(collect.size, sizeof(char *));
	if (text != NULL)
		(void)str_split(text, separator, collect_part, &collect); /* collect_part never stops it */
	return collect.list;
}

size_t strv_len(char *const *list)
{
	size_t len = 0;
	if (list != NULL) {
		while (list[len] != NULL)
			len++;
	}
	return len;
}

bool strv_contains(char *const *list, const char *text)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
		if (strcmp(list[i], text) == 0)
			return true;
	}
	return false;
}

void strv_free(char **list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; list[i] != NULL; i++)
		free(list[i]);
	free(list);
}
