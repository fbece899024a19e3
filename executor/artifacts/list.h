/* What becomes of artifacts in a result: those that are kept, and those that are not, with the reason. JSON while it is
 * made. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/artifacts/artifact_store.h"
#include "common/base/buffer.h"
#include "common/json/json.h"

#define ARTIFACT_LIST_MAX_LEFT_OUT 32 /* that are named; the others are counted */

struct artifact_list {
	struct buffer items, left_out; /* objects, comma-separated */
	size_t items_len;
	int64_t bytes; /* of all that are kept */
	size_t left_out_named, left_out_total;
};

void artifact_list_init(struct artifact_list *list);
void artifact_list_release(struct artifact_list *list);

/* `path` is UTF-8. `own`: of Kiln's own, for which some room is kept free. False: the list has no room for it. */
bool artifact_list_add(struct artifact_list *list, const char *path, const struct artifact_content *content,
					   bool own) MUST_CHECK;
/* `path` is any bytes, or NULL: it is about all of them. `reason` is one of schemas/build-result.json. True: it is
 * named, and not only counted. */
bool artifact_list_leave_out(struct artifact_list *list, const char *path, const char *reason, const char *detail);

/* The members `artifacts` and, where there is something to tell, `artifacts_left_out`. */
void artifact_list_write(struct json_writer *w, const struct artifact_list *list);
