/* What a project comes to, wherever it is told: answers, build.requested, kiln.project.events. */
#pragma once

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/json/json.h"

/* The URL that a project's git_url comes to: its own, or `base`/NAME.git (either may be NULL). False when there is no
 * base for it. */
bool project_git_url(const char *base, const char *git_url, const char *name, struct buffer *ret);
/* The member `network` of a project and of a resolved spec, from a project's JSON (NULL: it names nothing). */
void network_write(struct json_writer *w, const char *network);
