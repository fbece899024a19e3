/*
 * "METHOD target": path and query are found in the target as a second reader does, which goes by what the target begins
 * with and ends the host at whatever comes first. The route table fits a path as a second matcher does, which walks pattern and path character by
 * character; the parameter is the segment, decoded; `Allow` lists exactly the methods that find something. A query that
 * is accepted is within its limits, and the same when it is written anew.
 */
#include "fuzz.h"

#include "api-gateway/lists/query.h"
#include "api-gateway/routes.h"
#include "api-gateway/http/target.h"

struct span {
	const char *data;
	size_t len;
};

/* 0: the pattern does not fit; 1: through its {…}, which takes ret_param; 2: letter by letter. */
static int fits(const char *pattern, struct span path, struct span *ret_param)
{
	const char *at = path.data, *end = path.data + path.len;
	int fit = 2;
	while (*pattern != '\0') {
		if (*pattern == '{') {
			const char *first = at;
			while (at < end && *at != '/')
				at++;
			if (at == first)
				return 0;
			*ret_param = (struct span){first, (size_t)(at - first)};
			pattern = strchr(pattern, '}') + 1;
			fit = 1;
		} else if (at == end || *at++ != *pattern++) {
			return 0;
		}
	}
	return at == end ? fit : 0;
}

static bool is_method(const struct route *route, struct span method)
{
	if (method.len == 4 && memcmp(method.data, "HEAD", 4) == 0)
		method = (struct span){"GET", 3};
	return method.len == strlen(route->method) && memcmp(method.data, route->method, method.len) == 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
		   : c >= 'a' && c <= 'f' ? c - 'a' + 10
		   : c >= 'A' && c <= 'F' ? c - 'A' + 10
								  : -1;
}

/* A segment as it is meant. */
static enum route_outcome decode(struct span segment, char ret[64])
{
	CLEANUP(free_p) char *text = xcalloc(1, segment.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < segment.len; i++) {
		char c = segment.data[i];
		if (c == '%') {
			if (segment.len - i < 3 || digit(segment.data[i + 1]) < 0 || digit(segment.data[i + 2]) < 0)
				return ROUTE_BAD_PATH;
			c = (char)(digit(segment.data[i + 1]) * 16 + digit(segment.data[i + 2]));
			i += 2;
		}
		if (c == '\0')
			return ROUTE_BAD_PATH;
		text[len++] = c;
	}
	if (!str_is_utf8(text, len))
		return ROUTE_BAD_PATH;
	if (len > 63)
		return ROUTE_NO_PATH;
	memcpy(ret, text, len + 1);
	return ROUTE_FOUND;
}

static enum route_outcome expect(struct span method, struct span path, const struct route **ret_route,
								 char ret_param[64])
{
	struct span param = {"", 0}, best_param = {"", 0};
	int best = 0;
	if (path.len == 0 || path.data[0] != '/')
		return ROUTE_BAD_PATH;
	for (size_t i = 0; i < gateway_routes_len; i++) {
		int fit = fits(gateway_routes[i].pattern, path, &param);
		best = fit > best ? fit : best;
	}
	enum route_outcome outcome = best == 0 ? ROUTE_NO_PATH : ROUTE_NO_METHOD;
	for (size_t i = 0; i < gateway_routes_len && best > 0; i++) {
		if (fits(gateway_routes[i].pattern, path, &param) != best || !is_method(&gateway_routes[i], method))
			continue;
		outcome = ROUTE_FOUND;
		*ret_route = &gateway_routes[i];
		best_param = param;
	}
	ret_param[0] = '\0';
	return outcome == ROUTE_FOUND && best == 1 ? decode(best_param, ret_param) : outcome;
}

static bool lists(const char *allow, const char *method)
{
	const char *found = strstr(allow, method);
	size_t len = strlen(method);
	return found != NULL && (found == allow || found[-1] == ' ') && (found[len] == ',' || found[len] == '\0');
}

static void check_allow(struct span path)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
	char allow[128], param[64];
	const struct route *route;
	routes_allow(path.data, path.len, allow, sizeof(allow));
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		enum route_outcome outcome = routes_find(methods[i], strlen(methods[i]), path.data, path.len, &route, param);
		CHECK(lists(allow, methods[i]) == (outcome != ROUTE_NO_METHOD));
	}
}

static void put_number(struct buffer *text, const char *name, int64_t value)
{
	CHECK(buffer_appendf(text, "%s=%lld&", name, (long long)value) == 0);
}

/* The query in one spelling. */
static void write_query(struct buffer *text, const struct query *query)
{
	filter_append_query(text, query->filter);
	if (query->limit_given)
		put_number(text, "limit", query->limit);
	if (query->after >= 0)
		put_number(text, "after", query->after);
	if (query->version > 0)
		put_number(text, "version", query->version);
	if (query->cursor[0] != '\0') {
		CHECK(buffer_append_str(text, "cursor=") == 0);
		CHECK(url_encode(text, query->cursor, strlen(query->cursor)) == 0);
	}
	CHECK(buffer_ok(text));
}

static void check_query(struct span text, unsigned allowed)
{
	struct query query, again;
	struct error err = ERROR_INIT;
	if (query_read(text.data, text.len, allowed, &query, &err) < 0) {
		CHECK(err.kind == ERR_INVALID);
		check_message(&err);
		return;
	}
	CHECK(query.limit >= 1 && query.limit <= QUERY_LIMIT_MAX && query.after >= -1 && query.version >= 0);
	CHECK(query.after < 0 || query.cursor[0] == '\0');
	CLEANUP(buffer_release_p) struct buffer written;
	CLEANUP(buffer_release_p) struct buffer rewritten;
	buffer_init(&written, 4096);
	buffer_init(&rewritten, 4096);
	write_query(&written, &query);
	const char *first = written.data;
	CHECK(query_read(first, written.len, allowed, &again, &err) == 0);
	write_query(&rewritten, &again);
	CHECK(str_equal(first, rewritten.data));
	CHECK(again.limit == query.limit && again.limit_given == query.limit_given);
	char tag[CURSOR_TAG_SIZE], tag_again[CURSOR_TAG_SIZE];
	filter_tag(query.filter, "", tag);
	filter_tag(again.filter, "", tag_again);
	CHECK(str_equal(tag, tag_again));
	query_release(&query);
	query_release(&again);
}

/* Up to `end`, which is left out; all of it when it is not there. */
static struct span cut(struct span *rest, char end)
{
	const char *stop = memchr(rest->data, end, rest->len);
	struct span head = {rest->data, stop != NULL ? (size_t)(stop - rest->data) : rest->len};
	*rest = stop != NULL ? (struct span){stop + 1, rest->len - head.len - 1} : (struct span){"", 0};
	return head;
}

static bool has(struct span text, char c)
{
	return text.len > 0 && memchr(text.data, c, text.len) != NULL;
}

/* The path; the query is left in `text`. Without one (length 0): there is none. */
static struct span expect_path(struct span *text)
{
	static const struct span none = {"", 0}, root = {"/", 1};
	if (has(*text, '#'))
		return none;
	struct span path = cut(text, '?');
	if (path.len == 0 || path.data[0] == '/')
		return path;
	struct span scheme = cut(&path, ':');
	bool is_http = (scheme.len == 4 && strncasecmp(scheme.data, "http", 4) == 0) ||
				   (scheme.len == 5 && strncasecmp(scheme.data, "https", 5) == 0);
	if (!is_http || path.len < 3 || memcmp(path.data, "//", 2) != 0)
		return none;
	struct span host = {path.data + 2, path.len - 2}, rest = host;
	host = cut(&rest, '/');
	if (host.len == 0 || host.data[0] == ':' || has(host, '@'))
		return none;
	size_t before = 2 + host.len;
	return before < path.len ? (struct span){path.data + before, path.len - before} : root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = {size > 0 ? (const char *)data : "", size};
	struct span method = cut(&rest, ' ');
	struct target target;
	int found = target_read(rest.data, rest.len, &target);
	struct span query = rest, path = expect_path(&query);
	CHECK((found == 0) == (path.len > 0));
	if (found == 0) {
		CHECK(target.path_len == path.len && memcmp(target.path, path.data, path.len) == 0);
		CHECK(target.query_len == query.len && memcmp(target.query, query.data, query.len) == 0);
		rest = query;
	} else { /* the table refuses it as well, or finds in it what it would find in any path */
		path = cut(&rest, '?');
	}
	const struct route *route = NULL, *wanted = NULL;
	char param[64], wanted_param[64] = "";
	enum route_outcome outcome = routes_find(method.data, method.len, path.data, path.len, &route, param);
	CHECK(outcome == expect(method, path, &wanted, wanted_param));
	if (outcome == ROUTE_FOUND) {
		CHECK(route == wanted && str_equal(param, wanted_param));
		check_query(rest, route->query);
	}
	if (outcome == ROUTE_FOUND || outcome == ROUTE_NO_METHOD)
		check_allow(path);
	check_query(rest, ~0U);
	return 0;
}
