#include "api-gateway/audit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "api-gateway/request.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

void audit_read_address(struct request *request)
{
	static const char mapped[] = "::ffff:"; /* IPv4 at a socket for both */
	struct sockaddr_storage address = {0};
	char text[INET6_ADDRSTRLEN] = "";
	h2o_conn_t *conn = request->h2o->conn;
	if (conn->callbacks->get_peername(conn, (void *)&address) == 0)
		return;
	if (address.ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)&address)->sin_addr, text, sizeof(text));
	else if (address.ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&address)->sin6_addr, text, sizeof(text));
	bool is_mapped = str_starts(text, mapped) && strchr(text, '.') != NULL;
	(void)snprintf(request->address, sizeof(request->address), "%s", is_mapped ? text + sizeof(mapped) - 1 : text);
}

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
	int len = snprintf(ret, size, "%s %s", request->route->method, request->route->pattern);
	CHECK(len > 0 && (size_t)len < size);
}

void audit_add(const struct request *request, struct audit_row *row, struct pg_pipeline *pipeline)
{
	const struct audit_note *note = &request->audit;
	if (note->outcome == NULL)
		return;
	uuid_v7(row->id);
	write_route(request, row->route, sizeof(row->route));
	const char *params[AUDIT_PARAMS] = {row->id,    request->token->id, row->route,  note->outcome,
										note->type, note->resource,     request->id, request->address};
	memcpy(row->params, params, sizeof(params));
	pg_pipeline_add(pipeline, &sql_audit_insert, row->params, AUDIT_PARAMS);
}

int audit_commit(const struct request *request, struct pg_conn *tx, struct error *err)
{
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
	json_string(w, "address", request->address);
	json_object_end(w);
}
