/*
 * What narrows a list: filters of the query string, checked when it is read (query.h). All that are given must fit. One
 * page leads to the next of the same filters only: a cursor carries their tag.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "api-gateway/lists/cursor.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

#define FILTER_LABELS_MAX 8
#define FILTER_BRANCH_MAX 255
#define FILTER_QUERY_MAX 2048 /* bytes of the filters as a query: values with every byte escaped */

enum filter_field {
	FILTER_STATUS,
	FILTER_BRANCH,
	FILTER_AGENT,
	FILTER_LABEL, /* may be given often: a build must have all */
	FILTER_TEMPLATE,
	FILTER_COMMIT,
	FILTER_CREATED_AFTER,
	FILTER_CREATED_BEFORE,
	FILTER_TOKEN,
	FILTER_RESOURCE,
};

/* "" is: not given. */
struct filter {
	char status[16];
	char branch[FILTER_BRANCH_MAX + 1];
	char agent[16];
	char labels[FILTER_LABELS_MAX][64];
	size_t labels_len;
	char template[80]; /* name or name@version */
	char commit[65];   /* lower case */
	char created_after[CLOCK_RFC3339_SIZE],
		created_before[CLOCK_RFC3339_SIZE]; /* from the first on, before the second */
	char token[UUID_TEXT_SIZE];
	char resource[80]; /* an id, or name@version */
};

/* Takes one value. Returns NULL, or what is wrong with it (static text). */
const char *filter_take(struct filter *filter, enum filter_field field, const char *value, size_t len);
/* What is wrong with them together; NULL: nothing. */
const char *filter_check(const struct filter *filter);

/* Appends "status=…&branch=…&", in one order and one spelling; nothing for NULL. */
void filter_append_query(struct buffer *buf, const struct filter *filter);
/* The tag of these filters (NULL: none) in the list of `owner` (a project's id, or ""). */
void filter_tag(const struct filter *filter, const char *owner, char ret[CURSOR_TAG_SIZE]);

/* NULL when it is not given: for a statement's parameter. */
static inline const char *filter_param(const char *value)
{
	return value[0] != '\0' ? value : NULL;
}
