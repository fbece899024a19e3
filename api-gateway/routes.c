#include "api-gateway/routes.h"

#include "api-gateway/handlers.h"
#include "api-gateway/lists/query.h"
#include "api-gateway/callers/scopes.h"
#include "common/base/compiler.h"
#include "common/base/str.h"

#define SEGMENTS_MAX 8
#define PARAM_MAX 63

static const char *const json_or_stream[] = {"application/json", "text/event-stream", NULL};
static const char *const json_text_or_stream[] = {"application/json", "text/plain", "text/event-stream", NULL};
static const char *const stream[] = {"text/event-stream", NULL};
static const char *const explanation[] = {"application/json", "text/html", "text/plain", NULL};

#define PAGE (QUERY_LIMIT | QUERY_CURSOR)
#define TIMES (QUERY_CREATED_AFTER | QUERY_CREATED_BEFORE)
#define BUILDS (PAGE | TIMES | QUERY_STATUS | QUERY_BRANCH | QUERY_AGENT | QUERY_LABEL | QUERY_TEMPLATE | QUERY_COMMIT)
#define AUDIT (PAGE | TIMES | QUERY_TOKEN | QUERY_RESOURCE)

/* clang-format off */
const struct route gateway_routes[] = {
	{"POST",   "/projects",                    SCOPE_PROJECTS_WRITE, 0, project_create, 0, NULL},
	{"GET",    "/projects",                    SCOPE_PROJECTS_READ,  0, project_list, PAGE, NULL},
	{"GET",    "/projects/{id}",               SCOPE_PROJECTS_READ,  0, project_get, 0, NULL},
	{"PATCH",  "/projects/{id}",               SCOPE_PROJECTS_WRITE, 0, project_patch, 0, NULL},
	{"DELETE", "/projects/{id}",               SCOPE_PROJECTS_WRITE, 0, project_delete, 0, NULL},

	{"POST",   "/projects/{id}/builds",        SCOPE_BUILDS_WRITE, ROUTE_ON_LOOP | ROUTE_WAITS, build_accept, 0, NULL},
	{"POST",   "/project/{name}/build",        SCOPE_BUILDS_WRITE, ROUTE_ON_LOOP | ROUTE_WAITS, build_accept, 0, NULL},
	{"POST",   "/project/create-and-build",    SCOPE_PROJECTS_WRITE | SCOPE_BUILDS_WRITE, ROUTE_SENDS, create_and_build, 0, NULL},
	{"GET",    "/projects/{id}/builds",        SCOPE_BUILDS_READ,  0, build_list, BUILDS, NULL},
	{"GET",    "/builds/{taskId}",             SCOPE_BUILDS_READ,  ROUTE_ON_LOOP | ROUTE_WAITS, build_get, 0, NULL},
	{"POST",   "/builds/{taskId}/cancel",      SCOPE_BUILDS_WRITE, ROUTE_SENDS, build_cancel, 0, NULL},
	{"GET",    "/builds/{taskId}/explain",     SCOPE_BUILDS_READ,  0, build_explain, 0, NULL},
	{"POST",   "/builds/{taskId}/retry",       SCOPE_BUILDS_WRITE, ROUTE_SENDS, build_retry, 0, NULL},
	{"GET",    "/builds/{taskId}/events",      SCOPE_BUILDS_READ,  0, build_events, PAGE | QUERY_AFTER, json_or_stream},
	{"GET",    "/builds/{taskId}/logs",        SCOPE_BUILDS_READ,  0, build_logs, PAGE | QUERY_AFTER, json_text_or_stream},
	{"GET",    "/builds/{taskId}/artifacts/{path}", SCOPE_BUILDS_READ, ROUTE_FILE, build_artifact, 0, NULL},
	{"GET",    "/projects/{id}/events",        SCOPE_BUILDS_READ,  0, project_events, 0, stream},
	{"GET",    "/events",                      SCOPE_ADMIN,        ROUTE_ON_LOOP, all_events, 0, stream},

	{"GET",    "/queue",                       SCOPE_BUILDS_READ,   0, queue_get, PAGE, NULL},
	{"GET",    "/workers",                     SCOPE_WORKERS_READ,  0, worker_list, PAGE, NULL},
	{"GET",    "/workers/{id}",                SCOPE_WORKERS_READ,  0, worker_get, 0, NULL},
	{"POST",   "/workers/{id}/drain",          SCOPE_WORKERS_WRITE, ROUTE_SENDS, worker_drain, 0, NULL},

	{"POST",   "/templates",                   SCOPE_TEMPLATES_WRITE, 0, template_create, 0, NULL},
	{"GET",    "/templates",                   SCOPE_TEMPLATES_READ,  0, template_list, PAGE, NULL},
	{"GET",    "/templates/{name}",            SCOPE_TEMPLATES_READ,  0, template_get, QUERY_VERSION, NULL},

	{"POST",   "/tokens",                      SCOPE_TOKENS_WRITE, 0, token_create, 0, NULL},
	{"GET",    "/tokens",                      SCOPE_TOKENS_WRITE, 0, token_list, PAGE, NULL},
	{"DELETE", "/tokens/{id}",                 SCOPE_TOKENS_WRITE, 0, token_delete, 0, NULL},
	{"GET",    "/audit",                       SCOPE_ADMIN,        0, audit_list, AUDIT, NULL},
	{"GET",    "/me",                          0, ROUTE_ON_LOOP, token_me, 0, NULL},

	{"GET",    "/openapi.json",                0, ROUTE_PUBLIC | ROUTE_ON_LOOP, openapi_get, 0, NULL},
	{"GET",    "/problems/{type}",             0, ROUTE_PUBLIC | ROUTE_ON_LOOP, problem_get, 0, explanation},
};
/* clang-format on */
const size_t gateway_routes_len = ARRAY_LEN(gateway_routes);

struct segment {
	const char *text;
	size_t len;
};

/* The segments of "/a/b"; -1 when it has no leading slash. "/a/" has an empty one at the end, which fits nothing. The
 * last one of many has all the rest, slashes included: it fits nothing but what takes the rest. */
static int split(const char *path, size_t len, struct segment segments[SEGMENTS_MAX])
{
	if (len == 0 || path[0] != '/')
		return -1;
	int count = 0;
	for (const char *at = path + 1, *end = path + len;;) {
		const char *slash = count < SEGMENTS_MAX - 1 ? memchr(at, '/', (size_t)(end - at)) : NULL;
		segments[count++] = (struct segment){at, (size_t)((slash != NULL ? slash : end) - at)};
		if (slash == NULL)
			return count;
		at = slash + 1;
	}
}

/* How well a path fits: 0 not, 1 through a {…}, 2 letter by letter. ret_param_index: the segment of the {…}, or -1. */
static int fits(const struct route *route, const struct segment *segments, int count, int *ret_param_index)
{
	int index = 0, param = -1;
	bool takes_rest = (route->flags & ROUTE_FILE) != 0;
	for (const char *at = route->pattern + 1;; index++) {
		if (index == count || segments[index].len == 0 || (at[0] != '{' && at[0] != segments[index].text[0]))
			return 0; /* most routes do not begin so */
		const char *stop = strchrnul(at, '/');
		size_t len = (size_t)(stop - at);
		if (at[0] == '{')
			param = takes_rest && *stop == '\0' ? param : index;
		else if (segments[index].len != len || memcmp(segments[index].text, at, len) != 0)
			return 0;
		if (*stop == '\0')
			break;
		at = stop + 1;
	}
	if (index + 1 != count && !takes_rest)
		return 0;
	*ret_param_index = param;
	return param < 0 ? 2 : 1;
}

/* The best fit of any route: "/project/create-and-build" is not "/project/{name}/build"'s business, nor a project's
 * name. */
static int best_fit(const struct segment *segments, int count)
{
	int best = 0, param;
	for (size_t i = 0; i < gateway_routes_len; i++) {
		int fit = fits(&gateway_routes[i], segments, count, &param);
		best = fit > best ? fit : best;
	}
	return best;
}

static enum route_outcome read_param(struct segment segment, char ret_param[64])
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, segment.len + 1);
	struct error err = ERROR_INIT;
	if (url_decode(&text, segment.text, segment.len, false, &err) < 0)
		return ROUTE_BAD_PATH;
	if (text.len > PARAM_MAX)
		return ROUTE_NO_PATH;
	memcpy(ret_param, text.data, text.len);
	ret_param[text.len] = '\0';
	return ROUTE_FOUND;
}

static bool same_method(const struct route *route, const char *method, size_t len)
{
	if (len == 4 && memcmp(method, "HEAD", 4) == 0) {
		method = "GET";
		len = 3;
	}
	return strlen(route->method) == len && memcmp(route->method, method, len) == 0;
}

enum route_outcome routes_find(const char *method, size_t method_len, const char *path, size_t path_len,
							   const struct route **ret_route, char ret_param[64])
{
	struct segment segments[SEGMENTS_MAX];
	int count = split(path, path_len, segments);
	if (count < 0)
		return path_len > 0 && path[0] == '/' ? ROUTE_NO_PATH : ROUTE_BAD_PATH;
	enum route_outcome outcome = ROUTE_NO_PATH;
	int best = 0, best_param = -1;
	for (size_t i = 0; i < gateway_routes_len; i++) {
		int param;
		int fit = fits(&gateway_routes[i], segments, count, &param);
		if (fit == 0 || fit < best)
			continue;
		if (fit > best)
			outcome = ROUTE_NO_METHOD; /* what fitted less well does not count */
		best = fit;
		if (!same_method(&gateway_routes[i], method, method_len))
			continue;
		*ret_route = &gateway_routes[i];
		best_param = param;
		outcome = ROUTE_FOUND;
	}
	ret_param[0] = '\0';
	if (outcome == ROUTE_FOUND && best_param >= 0)
		return read_param(segments[best_param], ret_param);
	return outcome;
}

const char *routes_rest(const struct route *route, const char *path, size_t path_len, size_t *ret_len)
{
	const char *end = path + path_len;
	for (const char *at = strchr(route->pattern, '/'); at != NULL; at = strchr(at + 1, '/')) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		CHECK(slash != NULL); /* the path fits the pattern */
		path = slash + 1;
	}
	*ret_len = (size_t)(end - path);
	return path;
}

void routes_allow(const char *path, size_t path_len, char *ret, size_t size)
{
	struct segment segments[SEGMENTS_MAX];
	int count = split(path, path_len, segments), param;
	size_t used = 0;
	ret[0] = '\0';
	int best = count > 0 ? best_fit(segments, count) : 0;
	for (size_t i = 0; best > 0 && i < gateway_routes_len; i++) {
		if (fits(&gateway_routes[i], segments, count, &param) != best)
			continue;
		const char *method = gateway_routes[i].method;
		int len = snprintf(ret + used, size - used, "%s%s", used > 0 ? ", " : "",
						   str_equal(method, "GET") ? "GET, HEAD" : method);
		CHECK(len > 0 && (size_t)len < size - used);
		used += (size_t)len;
	}
}

void routes_print(FILE *out)
{
	for (size_t i = 0; i < gateway_routes_len; i++) {
		const struct route *route = &gateway_routes[i];
		CLEANUP(buffer_release_p) struct buffer scopes;
		buffer_init(&scopes, 256);
		if ((route->flags & ROUTE_PUBLIC) != 0)
			(void)buffer_append_str(&scopes, "none");
		else if (route->scopes == 0)
			(void)buffer_append_str(&scopes, "any");
		else
			scopes_append(&scopes, route->scopes, '+');
		CHECK(buffer_ok(&scopes));
		(void)fprintf(out, "%s %s %s\n", route->method, route->pattern, scopes.data);
	}
}
