#include "api-gateway/lists/query.h"

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/base/utf8.h"

#define NAME_SHOWN 60 /* bytes of an unknown name in a message */

static const struct {
	const char *name;
	enum query_parameter bit;
	enum filter_field field; /* of those from `status` on */
} parameters[] = {
	{"limit", QUERY_LIMIT, 0},
	{"cursor", QUERY_CURSOR, 0},
	{"after", QUERY_AFTER, 0},
	{"version", QUERY_VERSION, 0},
	{"status", QUERY_STATUS, FILTER_STATUS},
	{"branch", QUERY_BRANCH, FILTER_BRANCH},
	{"agent", QUERY_AGENT, FILTER_AGENT},
	{"label", QUERY_LABEL, FILTER_LABEL},
	{"template", QUERY_TEMPLATE, FILTER_TEMPLATE},
	{"commit", QUERY_COMMIT, FILTER_COMMIT},
	{"created_after", QUERY_CREATED_AFTER, FILTER_CREATED_AFTER},
	{"created_before", QUERY_CREATED_BEFORE, FILTER_CREATED_BEFORE},
	{"token", QUERY_TOKEN, FILTER_TOKEN},
	{"resource", QUERY_RESOURCE, FILTER_RESOURCE},
};

static void complain(struct buffer *wrong, const char *text)
{
	(void)buffer_append_str(wrong, wrong->len > 0 ? "; " : ""); /* what does not fit is left out */
	(void)buffer_append_str(wrong, text);
}

static void complain_name(struct buffer *wrong, const char *what, const struct buffer *name)
{
	char text[128];
	const char *shown = name->data;
	(void)snprintf(text, sizeof(text), "%s \"%.*s\"", what, (int)utf8_cut(shown, name->len, NAME_SHOWN), shown);
	complain(wrong, text);
}

static void take(struct query *query, enum query_parameter bit, const char *value, size_t len, struct buffer *wrong)
{
	struct error err = ERROR_INIT;
	switch (bit) {
	case QUERY_LIMIT:
		query->limit_given = true;
		if (str_parse_int(value, len, 1, QUERY_LIMIT_MAX, &query->limit, &err) < 0)
			complain(wrong, "limit must be a number from 1 to 500");
		return;
	case QUERY_AFTER:
		if (str_parse_int(value, len, 0, INT64_MAX, &query->after, &err) < 0)
			complain(wrong, "after must be a sequence");
		return;
	case QUERY_VERSION:
		if (str_parse_int(value, len, 1, INT32_MAX, &query->version, &err) < 0)
			complain(wrong, "version must be a number from 1 to 2147483647");
		return;
	case QUERY_CURSOR:
		if (len == 0 || len > CURSOR_MAX)
			complain(wrong, "cursor is not one that this list gave");
		else
			memcpy(query->cursor, value, len + 1);
		return;
	case QUERY_STATUS:
	case QUERY_BRANCH:
	case QUERY_AGENT:
	case QUERY_LABEL:
	case QUERY_TEMPLATE:
	case QUERY_COMMIT:
	case QUERY_CREATED_AFTER:
	case QUERY_CREATED_BEFORE:
	case QUERY_TOKEN:
	case QUERY_RESOURCE:
		return; /* take_filter's */
	}
}

static void take_filter(struct query *query, enum filter_field field, const char *value, size_t len,
						struct buffer *wrong)
{
	if (query->filter == NULL)
		query->filter = xcalloc(1, sizeof(*query->filter));
	const char *complaint = filter_take(query->filter, field, value, len);
	if (complaint != NULL)
		complain(wrong, complaint);
}

static void read_pair(const char *pair, size_t len, unsigned allowed, unsigned *seen, struct query *query,
					  struct buffer *wrong)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals != NULL ? (size_t)(equals - pair) : len;
	CLEANUP(buffer_release_p) struct buffer name;
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&name, 4096);
	buffer_init(&value, 4096);
	struct error err = ERROR_INIT;
	if (url_decode(&name, pair, name_len, true, &err) < 0 ||
		(equals != NULL && url_decode(&value, equals + 1, len - name_len - 1, true, &err) < 0)) {
		complain(wrong, "a parameter is not well encoded");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
		if ((allowed & parameters[i].bit) == 0 || name.len == 0 || !str_equal(name.data, parameters[i].name))
			continue;
		const char *text = value.data;
		if ((*seen & parameters[i].bit) != 0 && parameters[i].bit != QUERY_LABEL)
			complain_name(wrong, "twice:", &name);
		else if (parameters[i].bit < QUERY_STATUS)
			take(query, parameters[i].bit, text, value.len, wrong);
		else
			take_filter(query, parameters[i].field, text, value.len, wrong);
		*seen |= parameters[i].bit;
		return;
	}
	complain_name(wrong, "unknown query parameter", &name);
}

int query_read(const char *text, size_t len, unsigned allowed, struct query *ret, struct error *err)
{
	struct query query = {.limit = QUERY_LIMIT_DEFAULT, .after = -1};
	CLEANUP(buffer_release_p) struct buffer wrong;
	buffer_init(&wrong, 500);
	unsigned seen = 0;
	const char *end = text + len;
	for (const char *at = text; at < end;) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		if (stop == NULL)
			stop = end;
		if (stop > at)
			read_pair(at, (size_t)(stop - at), allowed, &seen, &query, &wrong);
		at = stop + 1;
	}
	if ((seen & QUERY_CURSOR) != 0 && (seen & QUERY_AFTER) != 0)
		complain(&wrong, "cursor and after exclude each other");
	const char *together = query.filter != NULL ? filter_check(query.filter) : NULL;
	if (together != NULL)
		complain(&wrong, together);
	if (wrong.len > 0) {
		query_release(&query);
		return error_set(err, ERR_INVALID, "%s", wrong.data);
	}
	*ret = query;
	return 0;
}

void query_release(struct query *query)
{
	free(query->filter);
	query->filter = NULL;
}
