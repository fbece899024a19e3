#include "executor/sandbox/sandbox.h"

#include "common/base/str.h"

static const struct sandbox *const sandboxes[] = {&sandbox_bwrap, &sandbox_none};

const struct sandbox *sandbox_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(sandboxes); i++) {
		if (str_equal(sandboxes[i]->name, name))
			return sandboxes[i];
	}
	return NULL;
}
