#include "api-gateway/http/fields.h"

static struct slice value_at(const h2o_req_t *h2o, ssize_t at)
{
	if (at == -1)
		return (struct slice){NULL, 0};
	return (struct slice){h2o->headers.entries[at].value.base, h2o->headers.entries[at].value.len};
}

struct slice field_of(const h2o_req_t *h2o, const h2o_token_t *token)
{
	return value_at(h2o, h2o_find_header(&h2o->headers, token, -1));
}

struct slice field_by_name(const h2o_req_t *h2o, const char *name)
{
	return value_at(h2o, h2o_find_header_by_str(&h2o->headers, name, strlen(name), -1));
}

struct slice field_list(h2o_req_t *h2o, const char *name)
{
	static const char separator[] = ", ";
	size_t name_len = strlen(name), lines = 0, len = 0;
	for (ssize_t at = -1; (at = h2o_find_header_by_str(&h2o->headers, name, name_len, at)) != -1; lines++)
		len += h2o->headers.entries[at].value.len + sizeof(separator) - 1;
	if (lines < 2)
		return field_by_name(h2o, name);
	char *text = h2o_mem_alloc_pool(&h2o->pool, len), *end = text;
	for (ssize_t at = -1; (at = h2o_find_header_by_str(&h2o->headers, name, name_len, at)) != -1;) {
		h2o_iovec_t value = h2o->headers.entries[at].value;
		memcpy(end, value.base, value.len);
		memcpy(end + value.len, separator, sizeof(separator) - 1);
		end += value.len + sizeof(separator) - 1;
	}
	return (struct slice){text, len - (sizeof(separator) - 1)};
}

bool field_is_twice(const h2o_req_t *h2o, const char *name)
{
	ssize_t first = h2o_find_header_by_str(&h2o->headers, name, strlen(name), -1);
	return first != -1 && h2o_find_header_by_str(&h2o->headers, name, strlen(name), first) != -1;
}

void fields_trim(h2o_req_t *h2o)
{
	for (size_t i = 0; i < h2o->headers.size; i++) {
		h2o_iovec_t *value = &h2o->headers.entries[i].value;
		while (value->len > 0 && slice_is_blank(value->base[value->len - 1]))
			value->len--;
	}
}
