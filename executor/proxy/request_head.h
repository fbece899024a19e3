/*
 * The head of an agent's request, HTTP/1.1 only (a CONNECT may be HTTP/1.0: Python's is, up to 3.11), read by
 * picohttpparser (in Debian's libh2o-evloop) and then strictly: no folded lines, one way to say how long the body is.
 * Everything points into the bytes that were parsed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

#define REQUEST_HEAD_MAX_BYTES ((size_t)32 * 1024)
#define REQUEST_MAX_HEADERS 64

/* As picohttpparser.h has it (Debian does not install that). */
struct phr_header {
	const char *name;
	size_t name_len;
	const char *value;
	size_t value_len;
};

struct request_head {
	const char *method, *path, *query; /* path without the query; query may have no bytes */
	size_t method_len, path_len, query_len;
	struct phr_header headers[REQUEST_MAX_HEADERS];
	size_t headers_len;
	int64_t body_bytes; /* -1: chunked */
	bool keep_alive, expects_continue, is_connect;
};

/* Bytes of the head, 0 when it is not whole yet, -1 when it is none that is taken: then *ret_status and *ret_why say
 * what to answer. `seen` is how many bytes an earlier call has been given. */
ptrdiff_t request_head_parse(const char *data, size_t len, size_t seen, struct request_head *ret_head, int *ret_status,
							 const char **ret_why) MUST_CHECK;
/* The first header of that name, NULL = none. */
const struct phr_header *request_head_find(const struct request_head *head, const char *name);
