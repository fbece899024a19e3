/* BuildResult (schemas/build-result.json) as canonical JSON: as an executor reported it, or made here when no agent
 * ran. */
#pragma once

#include "build-service/build.h"
#include "common/base/arena.h"

/* A result without any work in it: success false and the error. In the arena. */
const char *result_made(struct arena *arena, const struct build *build, const char *error_class, const char *message);

/* {"error":{…},"result":…,"status":…}: how a settling build ends when nothing was published. `result` may be NULL. */
const char *settle_end_made(struct arena *arena, enum build_status status, const char *error_class, const char *message,
							const char *result);

struct settle_end {
	enum build_status status;
	const char *error_class, *error_message;
	const char *result; /* canonical JSON; NULL = to be made */
};
/* Reads what settle_end_made wrote (NULL or illegible: failed, internal). Texts are in the arena. */
void settle_end_read(struct arena *arena, const char *json, struct settle_end *ret_end);
