#include "api-gateway/audit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "api-gateway/lend.h"
#include "api-gateway/request.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

/* inet_ntop does it by printf, which every POST would pay for. */
static void write_ipv4(const uint8_t bytes[4], char ret[INET_ADDRSTRLEN])
{
	for (int i = 0; i < 4; i++) {
		unsigned byte = bytes[i];
		if (byte >= 100)
			*ret++ = (char)('0' + byte / 100);
		if (byte >= 10)
			*ret++ = (char)('0' + byte / 10 % 10);
		*ret++ = (char)('0' + byte % 10);
		*ret++ = i < 3 ? '.' : '\0';
	}
}

void audit_read_address(struct request *request)
{
	struct sockaddr_storage address = {0};
	h2o_conn_t *conn = request->h2o->conn;
	if (conn->callbacks->get_peername(conn, (void *)&address) == 0)
		return;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&address)->sin6_addr;
	if (address.ss_family == AF_INET)
		write_ipv4((const uint8_t *)&((const struct sockaddr_in *)&address)->sin_addr, request->address);
	else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6)) /* at a socket for both */
		write_ipv4(v6->s6_addr + 12, request->address);
	else if (address.ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6, v6, request->address, sizeof(request->address)); /* it fits */
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
										note->type, note->resource,     request->id, request->address};
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
	json_string(w, "address", request->address);
	json_object_end(w);
}
