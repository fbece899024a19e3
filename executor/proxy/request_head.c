#include "executor/proxy/request_head.h"

#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "common/base/str.h"

#define BODY_MAX_BYTES (INT64_C(64) << 20) /* the vendors take 32 MB */

/* Of libh2o-evloop. -1 = broken, -2 = more is needed. */
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path,
					  size_t *path_len, int *minor_version, struct phr_header *headers, size_t *num_headers,
					  size_t last_len);

static bool is_name(const struct phr_header *header, const char *name)
{
	return header->name_len == strlen(name) && strncasecmp(header->name, name, header->name_len) == 0;
}

static bool is_value(const struct phr_header *header, const char *value)
{
	return header->value_len == strlen(value) && strncasecmp(header->value, value, header->value_len) == 0;
}

const struct phr_header *request_head_find(const struct request_head *head, const char *name)
{
	for (size_t i = 0; i < head->headers_len; i++) {
		if (is_name(&head->headers[i], name))
			return &head->headers[i];
	}
	return NULL;
}

static ptrdiff_t refuse(int status, const char *why, int *ret_status, const char **ret_why)
{
	*ret_status = status;
	*ret_why = why;
	return -1;
}

/* 0, or refused. */
static ptrdiff_t read_headers(struct request_head *head, int *ret_status, const char **ret_why)
{
	size_t lengths = 0, codings = 0;
	struct error err = ERROR_INIT;
	head->body_bytes = 0;
	for (size_t i = 0; i < head->headers_len; i++) {
		const struct phr_header *header = &head->headers[i];
		if (header->name == NULL)
			return refuse(400, "a header goes over two lines", ret_status, ret_why);
		if (is_name(header, "content-length")) {
			lengths++;
			if (str_parse_int(header->value, header->value_len, 0, INT64_MAX, &head->body_bytes, &err) < 0)
				return refuse(400, "Content-Length is no number", ret_status, ret_why);
			if (head->body_bytes > BODY_MAX_BYTES)
				return refuse(413, "the request is longer than 64 MiB", ret_status, ret_why);
		} else if (is_name(header, "transfer-encoding")) {
			codings++;
			if (!is_value(header, "chunked"))
				return refuse(400, "Transfer-Encoding must be chunked", ret_status, ret_why);
		} else if (is_name(header, "content-encoding") && !is_value(header, "identity")) {
			return refuse(415, "requests are taken as they are, without Content-Encoding", ret_status, ret_why);
		} else if (is_name(header, "connection") && is_value(header, "close")) {
			head->keep_alive = false;
		} else if (is_name(header, "expect")) {
			head->expects_continue = is_value(header, "100-continue");
		}
	}
	if (lengths + codings > 1)
		return refuse(400, "the body's length is said twice", ret_status, ret_why);
	if (codings > 0)
		head->body_bytes = -1;
	return 0;
}

ptrdiff_t request_head_parse(const char *data, size_t len, size_t seen, struct request_head *ret_head, int *ret_status,
							 const char **ret_why)
{
	struct request_head *head = ret_head;
	int minor = 0;
	*head = (struct request_head){.headers_len = REQUEST_MAX_HEADERS, .keep_alive = true};
	int size = phr_parse_request(data, len, &head->method, &head->method_len, &head->path, &head->path_len, &minor,
								 head->headers, &head->headers_len, seen);
	if (size == -2 && len < REQUEST_HEAD_MAX_BYTES)
		return 0;
	if (size == -2)
		return refuse(431, "the request's head is longer than 32 KiB", ret_status, ret_why);
	if (size < 0)
		return refuse(400, "this is no HTTP request, or has more than 64 headers", ret_status, ret_why);
	head->is_connect = head->method_len == 7 && memcmp(head->method, "CONNECT", 7) == 0;
	if (minor != 1 && !head->is_connect)
		return refuse(505, "HTTP/1.1 is spoken here", ret_status, ret_why);
	const char *mark = memchr(head->path, '?', head->path_len);
	head->query = mark != NULL ? mark + 1 : head->path + head->path_len;
	head->query_len = mark != NULL ? (size_t)(head->path + head->path_len - head->query) : 0;
	head->path_len = mark != NULL ? (size_t)(mark - head->path) : head->path_len;
	return read_headers(head, ret_status, ret_why) < 0 ? -1 : size;
}
