#include "api-gateway/requests/audit.h"

#include "api-gateway/requests/lend.h"
#include "api-gateway/requests/request.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

void audit_note(struct request *request, const char *outcome, const char *type, const char *resource)
{
	struct audit_note *note = &request->audit;
	note->outcome = outcome;
	note->type = type;
	int len = snprintf(note->resource, sizeof(note->resource), "%s", resource);
	CHECK(len > 0 && (size_t)len < sizeof(note->resource)); /* an id, or name@version */
}

static void write_route(const struct request *request, char *ret, size_t size)
{
	const struct route *route = request->route;
	size_t method_len = strlen(route->method), pattern_len = strlen(route->pattern);
	CHECK(method_len + 1 + pattern_len < size);
	memcpy(ret, route->method, method_len);
	ret[method_len] = ' ';
	memcpy(ret + method_len + 1, route->pattern, pattern_len + 1);
}

void audit_add(const struct request *request, struct audit_row *row, struct pg_pipeline *pipeline)
{
	const struct audit_note *note = &request->audit;
	if (note->outcome == NULL)
		return;
	uuid_v7(row->id);
	write_route(request, row->route, sizeof(row->route));
	const char *params[AUDIT_PARAMS] = {row->id,    request->token->id, row->route,  note->outcome,
										note->type, note->resource,     request->id, request->client.text};
	memcpy(row->params, params, sizeof(params));
	pg_pipeline_add(pipeline, &sql_audit_insert, row->params, AUDIT_PARAMS);
}

int audit_commit(struct request *request, struct pg_conn *tx, struct error *err)
{
	if (lend_take_effect(request, err) < 0)
		return -1;
	struct audit_row row;
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, tx);
	audit_add(request, &row, &pipeline);
	return pg_pipeline_commit(&pipeline, err);
}

void audit_write_origin(struct json_writer *w, const struct request *request)
{
	char route[96];
	write_route(request, route, sizeof(route));
	json_object_begin(w, "origin");
	json_string(w, "route", route);
	json_string(w, "request_id", request->id);
	json_string(w, "address", request->client.text);
	json_object_end(w);
}
