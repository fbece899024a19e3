/* GET /openapi.json and GET /problems/{type}: what this API promises. */
#include "api-gateway/handlers.h"
#include "api-gateway/requests/request.h"
#include "openapi_json.h"

bool openapi_get(struct request *request)
{
	static const struct answer_premade premade = {openapi_json_gz, OPENAPI_JSON_GZ_LEN};
	answer_empty(&request->answer, 200);
	request->answer.content_type = "application/json";
	(void)buffer_append(&request->answer.body, openapi_json, OPENAPI_JSON_LEN); /* request_send looks at buffer_ok */
	memcpy(request->answer.tag, openapi_json_etag, sizeof(openapi_json_etag));
	request->answer.premade = &premade;
	return true;
}

static void append_html(struct buffer *buf, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) { /* request_send looks at buffer_ok */
		case '&':
			(void)buffer_append_str(buf, "&amp;");
			break;
		case '<':
			(void)buffer_append_str(buf, "&lt;");
			break;
		case '>':
			(void)buffer_append_str(buf, "&gt;");
			break;
		default:
			(void)buffer_append_char(buf, *text);
		}
	}
}

static void answer_html(struct answer *answer, const struct problem_type *type)
{
	struct buffer *body = &answer->body;
	answer->content_type = "text/html; charset=utf-8";
	(void)buffer_append_str(body, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>");
	append_html(body, type->title);
	(void)buffer_appendf(body, "</title>\n<h1>%d: ", type->status);
	append_html(body, type->title);
	(void)buffer_append_str(body, "</h1>\n<p>");
	append_html(body, type->explanation);
	(void)buffer_append_str(body, "</p></html>\n");
}

bool problem_get(struct request *request)
{
	const struct problem_type *type = problem_type_find(request->param);
	struct answer *answer = &request->answer;
	struct json_writer w;
	char path[96];
	if (type == NULL) {
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "There is no problem type \"%s\".", request->param);
		return true;
	}
	(void)snprintf(path, sizeof(path), "/problems/%.64s", type->slug);
	answer_empty(answer, 200);
	switch (request->offer) {
	case 1:
		answer_html(answer, type);
		return true;
	case 2:
		answer->content_type = "text/plain; charset=utf-8";
		(void)buffer_appendf(&answer->body, "%d: %s\n\n%s\n", type->status, type->title, type->explanation);
		return true;
	default:
		answer_json(answer, 200, &w);
		json_object_begin(&w, NULL);
		json_string(&w, "type", path);
		json_string(&w, "title", type->title);
		json_int(&w, "status", type->status);
		json_string(&w, "explanation", type->explanation);
		json_object_end(&w);
		return true;
	}
}
