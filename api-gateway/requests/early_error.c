#include "api-gateway/requests/early_error.h"

#include "api-gateway/http/cors.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/loop.h"

struct replacement {
	h2o_ostream_t super;
	struct request *request;
};

static enum problem problem_of(int status)
{
	switch (status) {
	case 404:
		return PROBLEM_NOT_FOUND;
	case 413:
		return PROBLEM_PAYLOAD_TOO_LARGE;
	case 417:
		return PROBLEM_EXPECTATION_FAILED;
	default:
		return PROBLEM_BAD_REQUEST;
	}
}

static const char *detail_of(int status)
{
	switch (status) {
	case 404:
		return "Nothing is at this path.";
	case 413:
		return "The body is longer than the gateway takes.";
	case 417:
		return "Only the expectation 100-continue is known.";
	default:
		return "The body is not framed as HTTP/1.1 says.";
	}
}

static void send_replacement(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *bufs, size_t count,
							 h2o_send_state_t state)
{
	(void)bufs; /* h2o's text */
	struct request *request = ((struct replacement *)(void *)self)->request;
	h2o_iovec_t body = {request->answer.body.data, request->answer.body.len};
	h2o_ostream_send_next(self, h2o, &body, count > 0 && !request->is_head ? 1 : 0, state);
}

static void replace(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot)
{
	(void)self;
	struct request *request = request_new(loop_of(h2o), h2o);
	struct answer *answer = &request->answer;
	problem_write(answer, problem_of(h2o->res.status), request->id, NULL, detail_of(h2o->res.status));
	request->answered = true;
	request_watch_writing(request);
	h2o->res.status = answer->status;
	h2o->res.reason = answer_phrase(answer->status);
	h2o->res.content_length = answer->body.len;
	memset(&h2o->res.headers, 0, sizeof(h2o->res.headers));
	h2o_add_header(&h2o->pool, &h2o->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, answer->content_type,
				   strlen(answer->content_type));
	h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, H2O_STRLIT("x-request-id"), 0, NULL, request->id,
						  strlen(request->id));
	h2o_add_header(&h2o->pool, &h2o->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
	cors_add_head(request);
	struct replacement *ostream = (void *)h2o_add_ostream(h2o, sizeof(*ostream), slot);
	ostream->super.do_send = send_replacement;
	ostream->request = request;
	h2o_setup_next_ostream(h2o, &ostream->super.next);
}

static bool is_refusal(int status)
{
	return status == 400 || status == 413 || status == 414 || status == 417 || status == 431;
}

/* Called when h2o is done with the request, before it closes the connection. */
static void keep_open(h2o_logger_t *self, h2o_req_t *h2o)
{
	(void)self;
	if (!h2o->http1_is_persistent && is_refusal(h2o->res.status))
		linger_begin(&loop_of(h2o)->connections.lingers, h2o);
}

void early_errors_register(h2o_pathconf_t *all, h2o_pathconf_t *fallback)
{
	h2o_filter_t *filter = h2o_create_filter(fallback, sizeof(*filter));
	filter->on_setup_ostream = replace;
	h2o_create_logger(all, sizeof(h2o_logger_t))->log_access = keep_open;
	h2o_create_logger(fallback, sizeof(h2o_logger_t))->log_access = keep_open;
}
