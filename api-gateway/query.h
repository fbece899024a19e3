/* Query parameters: read once, against the names that the route knows; everything wrong is reported together. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/cursor.h"
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
	char status[16];             /* "" when not given */
	char cursor[CURSOR_MAX + 1]; /* "" when not given; decoded by the handler, who knows the kind */
};

enum query_parameter {
	QUERY_LIMIT = 1,
	QUERY_CURSOR = 2,
	QUERY_AFTER = 4,
	QUERY_STATUS = 8,
	QUERY_VERSION = 16,
};

/* `allowed`: bits of query_parameter. ERR_INVALID with a message that names all that is wrong. */
int query_read(const char *text, size_t len, unsigned allowed, struct query *ret, struct error *err) MUST_CHECK;
