#include "common/model/prices.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define MAX_MODELS 1000
#define MAX_USD 1000000.0
#define A_MILLION 1000000.0

struct entry {
	char *name;
	struct model_price price;
};

struct model_prices {
	struct entry *entries;
	size_t len;
};

void model_prices_free(struct model_prices *prices)
{
	if (prices == NULL)
		return;
	for (size_t i = 0; i < prices->len; i++)
		free(prices->entries[i].name);
	free(prices->entries);
	free(prices);
}

/* One kind's price; `fallback` when it is not given (negative: it must be). */
static int read_price(const cJSON *object, const char *kind, double fallback, double *ret_usd, struct error *err)
{
	const cJSON *item = json_get(object, kind);
	if (item == NULL && fallback >= 0) {
		*ret_usd = fallback;
		return 0;
	}
	if (item == NULL || !cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > MAX_USD)
		return error_set(err, ERR_INVALID, "\"%s\" must be a number of USD per million tokens", kind);
	*ret_usd = item->valuedouble;
	return 0;
}

static int read_entry(const cJSON *object, struct model_price *price, struct error *err)
{
	static const char *const kinds[] = {"input", "output", "cache_read", "cache_write", "cache_write_1h"};
	const cJSON *item;
	if (!cJSON_IsObject(object))
		return error_set(err, ERR_INVALID, "its prices must be an object");
	cJSON_ArrayForEach(item, object)
	{
		size_t known = 0;
		while (known < ARRAY_LEN(kinds) && strcmp(kinds[known], item->string) != 0)
			known++;
		if (known == ARRAY_LEN(kinds))
			return error_set(err, ERR_INVALID, "\"%.40s\" is no kind of tokens", item->string);
	}
	if (read_price(object, "input", -1, &price->input, err) < 0 ||
		read_price(object, "output", -1, &price->output, err) < 0 ||
		read_price(object, "cache_read", price->input, &price->cache_read, err) < 0 ||
		read_price(object, "cache_write", price->input, &price->cache_write, err) < 0)
		return -1;
	return read_price(object, "cache_write_1h", price->cache_write, &price->cache_write_1h, err);
}

int model_prices_new(const char *json, struct model_prices **ret_prices, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	CLEANUP(model_prices_free_p) struct model_prices *prices = xcalloc(1, sizeof(*prices));
	const cJSON *item;
	if (json != NULL && json[0] != '\0' && json_parse(json, strlen(json), &tree, err) < 0)
		return -1;
	if (tree != NULL && !cJSON_IsObject(tree))
		return error_set(err, ERR_INVALID, "an object of models is wanted");
	if (cJSON_GetArraySize(tree) > MAX_MODELS)
		return error_set(err, ERR_INVALID, "more than %d models", MAX_MODELS);
	prices->entries = xcalloc((size_t)cJSON_GetArraySize(tree) + 1, sizeof(prices->entries[0]));
	cJSON_ArrayForEach(item, tree)
	{
		struct entry *entry = &prices->entries[prices->len++];
		entry->name = xstrdup(item->string);
		if (read_entry(item, &entry->price, err) < 0)
			return error_prefix(err, "model \"%.60s\"", item->string);
	}
	*ret_prices = prices;
	prices = NULL;
	return 0;
}

int model_prices_check(const char *json, struct error *err)
{
	CLEANUP(model_prices_free_p) struct model_prices *prices = NULL;
	return model_prices_new(json, &prices, err);
}

const struct model_price *model_prices_find(const struct model_prices *prices, const char *model)
{
	const struct entry *best = NULL;
	size_t best_len = 0;
	for (size_t i = 0; i < prices->len; i++) {
		const struct entry *entry = &prices->entries[i];
		size_t len = strlen(entry->name);
		if (str_equal(entry->name, model))
			return &entry->price;
		bool fits = len > 0 && entry->name[len - 1] == '*' && strncmp(entry->name, model, len - 1) == 0;
		if (fits && len > best_len) {
			best = entry;
			best_len = len;
		}
	}
	return best != NULL ? &best->price : NULL;
}

double model_price_of(const struct model_price *price, const struct model_usage *usage)
{
	return (price->input * (double)usage->input + price->output * (double)usage->output +
			price->cache_read * (double)usage->cache_read + price->cache_write * (double)usage->cache_write +
			price->cache_write_1h * (double)usage->cache_write_1h) /
		   A_MILLION;
}
