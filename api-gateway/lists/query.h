/* Query parameters: read once, against the names that the route knows; everything wrong is reported together. Those
 * that filter are kept apart (filter.h): most requests have none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/lists/filter.h"
#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define QUERY_LIMIT_DEFAULT 50
#define QUERY_LIMIT_MAX 500

struct query {
	int64_t limit; /* QUERY_LIMIT_DEFAULT when not given */
	bool limit_given;
	int64_t after;               /* -1 when not given */
	int64_t version;             /* 0 when not given */
	char cursor[CURSOR_MAX + 1]; /* "" when not given; decoded by the handler, who knows the kind */
	struct filter *filter;       /* owned; NULL: no filters */
};

enum query_parameter {
	QUERY_LIMIT = 1,
	QUERY_CURSOR = 2,
	QUERY_AFTER = 4,
	QUERY_VERSION = 8,
	QUERY_STATUS = 16,
	QUERY_BRANCH = 32,
	QUERY_AGENT = 64,
	QUERY_LABEL = 128, /* as often as wanted */
	QUERY_TEMPLATE = 256,
	QUERY_COMMIT = 512,
	QUERY_CREATED_AFTER = 1024,
	QUERY_CREATED_BEFORE = 2048,
	QUERY_TOKEN = 4096,
	QUERY_RESOURCE = 8192,
};

/* `allowed`: bits of query_parameter. ERR_INVALID with a message that names all that is wrong; *ret is untouched then.
 */
int query_read(const char *text, size_t len, unsigned allowed, struct query *ret, struct error *err) MUST_CHECK;
void query_release(struct query *query);
