#include "api-gateway/http/answer.h"

#include <stdarg.h>

#include "common/base/str.h"

void answer_init(struct answer *answer)
{
	buffer_init(&answer->body, ANSWER_MAX_BODY);
	answer_clear(answer);
}

void answer_release(struct answer *answer)
{
	buffer_release(&answer->body);
}

void answer_clear(struct answer *answer)
{
	answer->status = 0;
	answer->content_type = NULL;
	answer->retry_after_s = 0;
	answer->fields_len = 0;
	answer->text_len = 0;
	answer->tag[0] = '\0';
	answer->premade = NULL;
	buffer_clear(&answer->body);
}

void answer_field_text(struct answer *answer, const char *name, const char *value, size_t len)
{
	CHECK(answer->fields_len < ANSWER_MAX_FIELDS && len < sizeof(answer->text) - answer->text_len);
	char *at = answer->text + answer->text_len;
	for (size_t i = 0; i < len; i++)
		CHECK((unsigned char)value[i] >= 0x20 && value[i] != 0x7F);
	memmove(at, value, len); /* answer_field has put it there already */
	at[len] = '\0';
	answer->fields[answer->fields_len++] = (struct answer_field){name, at, len};
	answer->text_len += len + 1;
}

const struct answer_field *answer_find(const struct answer *answer, const char *name)
{
	for (size_t i = 0; i < answer->fields_len; i++) {
		if (str_equal(answer->fields[i].name, name))
			return &answer->fields[i];
	}
	return NULL;
}

void answer_field(struct answer *answer, const char *name, const char *format, ...)
{
	char *value = answer->text + answer->text_len;
	size_t room = sizeof(answer->text) - answer->text_len;
	va_list args;
	va_start(args, format);
	int len = vsnprintf(value, room, format, args);
	va_end(args);
	CHECK(len >= 0 && (size_t)len < room);
	answer_field_text(answer, name, value, (size_t)len);
}

void answer_json(struct answer *answer, int status, struct json_writer *ret_writer)
{
	answer->status = status;
	answer->content_type = "application/json";
	buffer_clear(&answer->body);
	json_writer_init(ret_writer, &answer->body);
}

void answer_empty(struct answer *answer, int status)
{
	answer->status = status;
	answer->content_type = NULL;
	buffer_clear(&answer->body);
}

const char *answer_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{304, "Not Modified"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{503, "Service Unavailable"},
	};
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Status";
}
