#include "api-gateway/http/cors.h"

#include <ctype.h>

#include "api-gateway/http/fields.h"
#include "common/base/alloc.h"
#include "common/base/str.h"

#define MAX_AGE_S 7200 /* for which a browser keeps what a preflight said: as long as any does */

/* What a script may send beside what needs no leave, and what it may see. Nobody reads tracestate: a page whose tracing
 * sends it may ask all the same. */
static const char sent_fields[] =
	"authorization, content-type, idempotency-key, if-match, if-none-match, if-range, last-event-id, "
	"prefer, range, traceparent, tracestate, x-request-id";
static const char seen_fields[] =
	"accept-ranges, allow, content-disposition, content-location, content-range, etag, link, location, "
	"preference-applied, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id";

struct cors {
	bool any;
	char **origins;
};

/* scheme://host or scheme://host:port, as browsers write it: in lower case, without a path. */
static bool is_origin(const char *text)
{
	const char *host = strstr(text, "://");
	if (host == NULL || host == text || host[3] == '\0')
		return false;
	for (const char *at = text; at < host; at++) {
		if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && strchr("+-.", *at) == NULL)
			return false;
	}
	for (const char *at = host + 3; *at != '\0'; at++) {
		if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && strchr(".:-_[]", *at) == NULL)
			return false;
	}
	return true;
}

int cors_new(const char *origins, struct cors **ret, struct error *err)
{
	CLEANUP(strv_free_p) char **list = strv_split(origins != NULL ? origins : "", ',');
	size_t len = strv_len(list);
	bool any = len == 1 && str_equal(list[0], "*");
	for (size_t i = 0; i < len && !any; i++) {
		if (!is_origin(list[i]))
			return error_set(err, ERR_INVALID, "\"%.100s\" is no origin such as https://app.example.org", list[i]);
	}
	*ret = NULL;
	if (len == 0)
		return 0;
	struct cors *cors = xcalloc(1, sizeof(*cors));
	cors->any = any;
	cors->origins = list;
	list = NULL;
	*ret = cors;
	return 0;
}

int cors_check(const char *origins, struct error *err)
{
	struct cors *cors;
	if (cors_new(origins, &cors, err) < 0)
		return -1;
	cors_free(cors);
	return 0;
}

void cors_free(struct cors *cors)
{
	if (cors == NULL)
		return;
	strv_free(cors->origins);
	free(cors);
}

bool cors_allows(const struct cors *cors, const char *origin, size_t len)
{
	if (cors == NULL || origin == NULL)
		return false;
	for (size_t i = 0; !cors->any && cors->origins[i] != NULL; i++) {
		if (strlen(cors->origins[i]) == len && memcmp(cors->origins[i], origin, len) == 0)
			return true;
	}
	return cors->any;
}

size_t cors_fields(const struct cors *cors, const char *origin, size_t len, struct cors_field ret[CORS_FIELDS_MAX])
{
	size_t found = 0;
	if (cors == NULL)
		return 0;
	if (!cors->any)
		ret[found++] = (struct cors_field){"vary", "origin", 6};
	if (!cors_allows(cors, origin, len))
		return found;
	ret[found++] = (struct cors_field){"access-control-allow-origin", cors->any ? "*" : origin, cors->any ? 1 : len};
	ret[found++] = (struct cors_field){"access-control-expose-headers", seen_fields, sizeof(seen_fields) - 1};
	return found;
}

void cors_add_head(struct request *request)
{
	h2o_req_t *h2o = request->h2o;
	struct slice origin = field_by_name(h2o, "origin"); /* it lives as long as the request */
	struct cors_field fields[CORS_FIELDS_MAX];
	size_t len = cors_fields(request->gateway->cors, origin.data, origin.len, fields);
	for (size_t i = 0; i < len; i++)
		h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, fields[i].name, strlen(fields[i].name), 1, NULL,
							  fields[i].value, fields[i].value_len);
}

bool cors_answer_preflight(struct request *request, const char *allow)
{
	h2o_req_t *h2o = request->h2o;
	struct slice origin = field_by_name(h2o, "origin");
	if (!h2o_memis(h2o->input.method.base, h2o->input.method.len, H2O_STRLIT("OPTIONS")) ||
		!cors_allows(request->gateway->cors, origin.data, origin.len) ||
		field_by_name(h2o, "access-control-request-method").data == NULL)
		return false;
	answer_empty(&request->answer, 204);
	answer_field(&request->answer, "access-control-allow-methods", "%s", allow);
	answer_field(&request->answer, "access-control-allow-headers", "%s", sent_fields);
	answer_field(&request->answer, "access-control-max-age", "%d", MAX_AGE_S);
	return true;
}
