#include "api-gateway/requests/representation.h"

#include "api-gateway/http/etag.h"
#include "api-gateway/http/gzip.h"
#include "common/base/str.h"

static int bad_list(struct request *request, const char *field, const struct error *err)
{
	return problem_answer(request, PROBLEM_BAD_REQUEST, "%s: %s.", field, err->message);
}

/* -1: answered by 412 or 400. A weak tag is matched by * alone. */
static int check_if_match(struct request *request, const char *etag, bool weak)
{
	struct error err = ERROR_INIT;
	bool has = true;
	if (request->if_match.data != NULL &&
		etag_list_has(request->if_match.data, request->if_match.len, weak ? "" : etag, ETAG_STRONG, &has, &err) < 0)
		return bad_list(request, "If-Match", &err);
	return has ? 0
			   : problem_answer(request, PROBLEM_PRECONDITION_FAILED, "The current ETag is %s%s.", weak ? "W/" : "",
								etag);
}

/* -1: answered by 400. */
static int find_in_if_none_match(struct request *request, const char *etag, bool *ret_has)
{
	struct error err = ERROR_INIT;
	*ret_has = false;
	if (request->if_none_match.data != NULL &&
		etag_list_has(request->if_none_match.data, request->if_none_match.len, etag, ETAG_WEAK, ret_has, &err) < 0)
		return bad_list(request, "If-None-Match", &err);
	return 0;
}

int representation_check_writer(struct request *request, const char *etag)
{
	bool has;
	if (check_if_match(request, etag, false) < 0 || find_in_if_none_match(request, etag, &has) < 0)
		return -1;
	return has ? problem_answer(request, PROBLEM_PRECONDITION_FAILED, "The current ETag is %s.", etag) : 0;
}

static void copy_tag(const struct answer *answer, char ret[ETAG_SIZE])
{
	const struct answer_field *tag = answer_find(answer, "etag");
	ret[0] = '\0';
	if (tag == NULL)
		return;
	CHECK(tag->value_len < ETAG_SIZE);
	memcpy(ret, tag->value, tag->value_len + 1);
}

static void add_caching(struct request *request)
{
	bool is_public = (request->route->flags & ROUTE_PUBLIC) != 0;
	answer_field(&request->answer, "cache-control", "%s", is_public ? "no-cache" : "private, no-cache");
	answer_field(&request->answer, "vary", "%saccept-encoding", request->route->offers != NULL ? "accept, " : "");
}

/* An event stream is no representation that could be had again. */
static bool is_representation(const struct request *request)
{
	const struct answer *answer = &request->answer;
	return request->route != NULL && str_equal(request->route->method, "GET") && request->plan == NULL &&
		   answer->status == 200 && answer->content_type != NULL && buffer_ok(&answer->body) &&
		   !str_equal(answer->content_type, "text/event-stream");
}

/* Makes the body gzip. False: it stays as it is. */
static bool code(struct answer *answer)
{
	const struct answer_premade *premade = answer->premade;
	if (premade != NULL) {
		buffer_clear(&answer->body);
		return buffer_append(&answer->body, premade->gzip, premade->gzip_len) == 0;
	}
	struct buffer coded;
	buffer_init(&coded, ANSWER_MAX_BODY);
	if (gzip_append(&coded, answer->body.data, answer->body.len) < 0) {
		buffer_release(&coded);
		return false;
	}
	buffer_release(&answer->body);
	answer->body = coded;
	return true;
}

/* 200 or 304 with the tag that the 200 would have. */
static void settle(struct request *request, const char *etag, bool is_own, bool coded, bool known)
{
	struct answer *answer = &request->answer;
	if (known) {
		answer_clear(answer);
		answer_empty(answer, 304);
	} else if (coded) {
		coded = code(answer);
		if (coded)
			answer_field(answer, "content-encoding", "gzip");
	}
	if (known || !is_own)
		answer_field(answer, "etag", "%s%s", coded ? "W/" : "", etag);
	add_caching(request);
}

static void finish(struct request *request, bool may_code)
{
	struct answer *answer = &request->answer;
	char etag[ETAG_SIZE];
	bool known;
	if (!is_representation(request))
		return;
	copy_tag(answer, etag);
	bool is_own = etag[0] != '\0';
	if (!is_own && answer->tag[0] != '\0')
		memcpy(etag, answer->tag, sizeof(etag));
	else if (!is_own)
		etag_of_bytes(answer->body.data, answer->body.len, etag);
	bool can_code = answer->premade != NULL || (may_code && !is_own && answer->body.len >= REPRESENTATION_CODED_MIN);
	bool coded = request->takes_gzip && can_code;
	if (check_if_match(request, etag, coded) < 0 || find_in_if_none_match(request, etag, &known) < 0)
		return;
	settle(request, etag, is_own, coded, known);
}

void representation_finish(struct request *request, bool may_code)
{
	if (request->download == NULL)
		finish(request, may_code);
}

void representation_finish_download(struct request *request)
{
	finish(request, false);
}
