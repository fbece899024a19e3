#include "api-gateway/callers/scopes.h"

#include "common/base/compiler.h"

/* In the order of the bits. */
static const char *const names[] = {
	"admin",          "projects:read",   "projects:write", "builds:read",  "builds:write",
	"templates:read", "templates:write", "tokens:write",   "workers:read", "workers:write",
	"webhooks:read",  "webhooks:write",  "pipelines:read", "domains:read", "domains:write",
};

uint64_t scope_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return UINT64_C(1) << i;
	}
	return 0;
}

const char *scope_name(size_t index)
{
	return index < ARRAY_LEN(names) ? names[index] : NULL;
}

bool scopes_cover(uint64_t held, uint64_t needed)
{
	return (held & SCOPE_ADMIN) != 0 || (held & needed) == needed;
}

void scopes_append(struct buffer *buf, uint64_t scopes, char separator)
{
	bool first = true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if ((scopes >> i & 1) == 0)
			continue;
		if (!first)
			(void)buffer_append_char(buf, separator); /* the caller looks at buffer_ok */
		(void)buffer_append_str(buf, names[i]);
		first = false;
	}
}
