#include "common/model/event_types.h"

#include "common/base/str.h"

bool event_type_ends_build(const char *type)
{
	return str_equal(type, "build.completed") || str_equal(type, "build.failed") || str_equal(type, "build.cancelled");
}
