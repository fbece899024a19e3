#include "executor/proxy/model_api.h"

#include <string.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define SEGMENT_BYTES 128

static const struct model_route anthropic_routes[] = {
	{"POST", "/messages", true}, {"POST", "/messages/count_tokens", false},
	{"GET", "/models", false},   {"GET", "/models/*", false},
	{NULL, NULL, false},
};
static const struct model_route openai_routes[] = {
	{"POST", "/chat/completions", true},
	{"GET", "/models", false},
	{"GET", "/models/*", false},
	{NULL, NULL, false},
};

static bool is_segment(const char *text, size_t len)
{
	if (len == 0 || len > SEGMENT_BYTES || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		bool plain = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
					 (text[i] >= '0' && text[i] <= '9') || strchr("._:-", text[i]) != NULL;
		if (!plain || text[i] == '\0')
			return false;
	}
	return true;
}

static bool path_matches(const char *pattern, const char *path, size_t len)
{
	size_t fixed = strcspn(pattern, "*");
	if (len < fixed || memcmp(path, pattern, fixed) != 0)
		return false;
	return pattern[fixed] == '*' ? is_segment(path + fixed, len - fixed) : len == fixed;
}

const struct model_route *model_route_find(enum model_protocol protocol, const char *method, size_t method_len,
										   const char *path, size_t path_len)
{
	size_t prefix = strlen(MODEL_PATH_PREFIX);
	if (path_len < prefix || memcmp(path, MODEL_PATH_PREFIX, prefix) != 0)
		return NULL;
	const struct model_route *route = protocol == MODEL_ANTHROPIC ? anthropic_routes : openai_routes;
	for (; route->method != NULL; route++) {
		if (strlen(route->method) == method_len && memcmp(route->method, method, method_len) == 0 &&
			path_matches(route->path, path + prefix, path_len - prefix))
			return route;
	}
	return NULL;
}

bool model_query_is_plain(const char *query, size_t len)
{
	if (len > MODEL_QUERY_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool plain = (query[i] >= 'a' && query[i] <= 'z') || (query[i] >= 'A' && query[i] <= 'Z') ||
					 (query[i] >= '0' && query[i] <= '9') || (query[i] != '\0' && strchr("._:~=&-", query[i]) != NULL);
		if (!plain)
			return false;
	}
	return true;
}

static bool is_one_of(const char *const *names, const char *name, size_t len)
{
	for (; *names != NULL; names++) {
		size_t size = strlen(*names);
		bool prefix = size > 0 && (*names)[size - 1] == '*';
		if ((prefix ? len >= size - 1 : len == size) && strncasecmp(*names, name, prefix ? size - 1 : size) == 0)
			return true;
	}
	return false;
}

bool model_header_goes(const char *name, size_t len)
{
	static const char *const goes[] = {"accept",
									   "content-type",
									   "user-agent",
									   "anthropic-version",
									   "anthropic-beta",
									   "anthropic-dangerous-direct-browser-access",
									   "openai-beta",
									   "idempotency-key",
									   "x-app",
									   "x-stainless-*",
									   NULL};
	return is_one_of(goes, name, len);
}

bool model_header_returns(const char *name, size_t len)
{
	static const char *const stays[] = {
		"connection", "keep-alive",  "proxy-*",  "te",      "trailer",        "transfer-encoding",         "upgrade",
		"set-cookie", "set-cookie2", "location", "alt-svc", "content-length", "strict-transport-security", NULL};
	return !is_one_of(stays, name, len);
}

char *model_key_header(enum model_protocol protocol, const char *key)
{
	return xasprintf(protocol == MODEL_ANTHROPIC ? "x-api-key: %s" : "Authorization: Bearer %s", key);
}

static const char *anthropic_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	default:
		return status >= 500 ? "api_error" : "invalid_request_error";
	}
}

void model_error_write(struct buffer *out, enum model_protocol protocol, int status, const char *message)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	if (protocol == MODEL_ANTHROPIC)
		json_string(&w, "type", "error");
	json_object_begin(&w, "error");
	if (protocol == MODEL_ANTHROPIC)
		json_string(&w, "type", anthropic_type(status));
	else
		json_string(&w, "type", status >= 500 ? "server_error" : "invalid_request_error");
	json_string(&w, "message", message);
	if (protocol == MODEL_OPENAI) {
		json_null(&w, "param");
		json_null(&w, "code");
	}
	json_object_end(&w);
	json_object_end(&w);
}
