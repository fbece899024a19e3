#include "api-gateway/dispatch.h"

#include "api-gateway/callers/auth.h"
#include "api-gateway/http/cors.h"
#include "api-gateway/http/fields.h"
#include "api-gateway/http/framing.h"
#include "api-gateway/http/negotiate.h"
#include "api-gateway/http/prefer.h"
#include "api-gateway/requests/representation.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/http/target.h"
#include "api-gateway/requests/workers.h"
#include "common/base/str.h"

static const char *const json_only[] = {"application/json", NULL};

/* The head still lies in the socket's buffer. A request that others may read in another way gets no other answer, and
 * is the last one of its connection. */
static int check_framing(struct request *request)
{
	h2o_req_t *h2o = request->h2o;
	const h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
	enum framing framing = framing_check(sock->input->bytes, sock->input->size, h2o->version < 0x101);
	if (framing == FRAMING_CLEAR)
		return 0;
	h2o->http1_is_persistent = 0;
	enum problem problem = framing == FRAMING_LONG_LINE    ? PROBLEM_URI_TOO_LONG
						   : framing == FRAMING_LARGE_HEAD ? PROBLEM_HEADER_TOO_LARGE
														   : PROBLEM_BAD_REQUEST;
	return problem_answer(request, problem, "%s", framing_detail(framing));
}

static int read_target(const h2o_req_t *h2o, struct target *ret)
{
	return target_read(h2o->input.path.base, h2o->input.path.len, ret);
}

static int find_route(struct request *request, struct slice path)
{
	h2o_req_t *h2o = request->h2o;
	char allow[128];
	switch (routes_find(h2o->input.method.base, h2o->input.method.len, path.data, path.len, &request->route,
						request->param)) {
	case ROUTE_FOUND:
		return 0;
	case ROUTE_NO_PATH:
		return problem_answer(request, PROBLEM_NOT_FOUND, "Nothing is at this path.");
	case ROUTE_BAD_PATH:
		return problem_answer(request, PROBLEM_BAD_REQUEST, "The path is not well formed.");
	case ROUTE_NO_METHOD:
		routes_allow(path.data, path.len, allow, sizeof(allow));
		if (cors_answer_preflight(request, allow))
			return -1;
		(void)problem_answer(request, PROBLEM_METHOD_NOT_ALLOWED, "This path takes %s.", allow);
		answer_field(&request->answer, "allow", "%s", allow);
		return -1;
	}
	return problem_answer(request, PROBLEM_INTERNAL, "The route table is broken.");
}

static void read_file_fields(struct request *request, struct slice path)
{
	if ((request->route->flags & ROUTE_FILE) == 0)
		return;
	request->rest.data = routes_rest(request->route, path.data, path.len, &request->rest.len);
	/* Which of two would count? The whole is right in any case. */
	if (field_is_twice(request->h2o, "range") || field_is_twice(request->h2o, "if-range"))
		return;
	request->range = field_by_name(request->h2o, "range");
	request->if_range = field_by_name(request->h2o, "if-range");
}

static void read_preferences(struct request *request)
{
	if ((request->route->flags & ROUTE_WAITS) == 0)
		return;
	struct slice prefer = field_list(request->h2o, "prefer");
	int64_t wait_s = prefer_wait(prefer.data, prefer.len), max_s = request->gateway->config->max_wait_s;
	request->wait_s = wait_s < 0 ? 0 : wait_s > max_s ? max_s : wait_s;
}

static int read_head(struct request *request)
{
	h2o_req_t *h2o = request->h2o;
	if (check_framing(request) < 0)
		return -1;
	struct target target;
	if (read_target(h2o, &target) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "The request's target is not well formed.");
	struct slice path = {target.path, target.path_len};
	if (find_route(request, path) < 0)
		return -1;
	if (field_is_twice(h2o, "authorization"))
		return problem_answer(request, PROBLEM_BAD_REQUEST, "Authorization is given twice.");
	if (h2o->entity.len > (size_t)request->gateway->config->max_body_bytes)
		return problem_answer(request, PROBLEM_PAYLOAD_TOO_LARGE, "The body has %zu bytes; %lld is the limit.",
							  h2o->entity.len, (long long)request->gateway->config->max_body_bytes);
	request->body = (struct slice){h2o->entity.base, h2o->entity.len};
	request->content_type = field_of(h2o, H2O_TOKEN_CONTENT_TYPE);
	request->content_encoding = field_of(h2o, H2O_TOKEN_CONTENT_ENCODING);
	request->if_match = field_list(h2o, "if-match");
	request->if_none_match = field_list(h2o, "if-none-match");
	read_preferences(request);
	read_file_fields(request, path);
	request->idempotency_key = field_by_name(h2o, "idempotency-key");
	request->last_event_id = field_by_name(h2o, "last-event-id");
	return 0;
}

/* After the token: who may not ask is not told how to. */
static int read_parameters(struct request *request)
{
	struct target target;
	struct error err = ERROR_INIT;
	CHECK(read_target(request->h2o, &target) == 0); /* as before */
	if (query_read(target.query, target.query_len, request->route->query, &request->query, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	if (request->idempotency_key.data != NULL && field_is_twice(request->h2o, "idempotency-key"))
		return problem_answer(request, PROBLEM_BAD_REQUEST, "Idempotency-Key is given twice.");
	return 0;
}

static int not_acceptable(struct request *request, const char *const *offers)
{
	CLEANUP(buffer_release_p) struct buffer list;
	buffer_init(&list, 256);
	for (size_t i = 0; offers[i] != NULL; i++)
		CHECK(buffer_appendf(&list, "%s%s", i > 0 ? ", " : "", offers[i]) == 0); /* three short names at most */
	return problem_answer(request, PROBLEM_NOT_ACCEPTABLE, "This route answers with %s.", list.data);
}

/* Only what is read: a write is not refused for the form of its answer. */
static int negotiate(struct request *request)
{
	if (strcmp(request->route->method, "GET") != 0 || (request->route->flags & ROUTE_FILE) != 0)
		return 0;
	const char *const *offers = request->route->offers != NULL ? request->route->offers : json_only;
	struct slice accept = field_list(request->h2o, "accept");
	int offer = negotiate_accept(accept.data, accept.len, offers);
	if (offer < 0)
		return not_acceptable(request, offers);
	request->offer = (size_t)offer;
	struct slice codings = field_list(request->h2o, "accept-encoding");
	request->takes_gzip = negotiate_gzip(codings.data, codings.len);
	return 0;
}

static void run_handler(struct request *request)
{
	const struct route *route = request->route;
	if ((route->flags & ROUTE_ON_LOOP) != 0) {
		if (route->handler(request)) {
			representation_finish(request, false);
			request_send(request);
		}
		return;
	}
	workers_submit(request);
}

static void check_caller(struct request *request)
{
	if ((request->route->flags & ROUTE_PUBLIC) == 0) {
		switch (auth_check(request, field_of(request->h2o, H2O_TOKEN_AUTHORIZATION))) {
		case AUTH_GRANTED:
			break;
		case AUTH_REFUSED:
			request_send(request);
			return;
		case AUTH_WAITS:
			return;
		}
	}
	if (read_parameters(request) < 0 || negotiate(request) < 0) {
		request_send(request);
		return;
	}
	run_handler(request);
}

void dispatch_new(struct loop *loop, h2o_req_t *h2o)
{
	if (connection_drops(loop, h2o))
		return;
	fields_trim(h2o);
	struct request *request = request_new(loop, h2o);
	request->again = check_caller;
	if (read_head(request) < 0) {
		request_send(request);
		return;
	}
	check_caller(request);
}
