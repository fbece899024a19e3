/* What the types of a build's events say (schemas/, docs/events.md). */
#pragma once

#include <stdbool.h>

/* Does an event of this type end a build? */
bool event_type_ends_build(const char *type);
