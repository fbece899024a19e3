#include "executor/attempt/memory_bound.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/compiler.h"
#include "common/base/str.h"

/* What RLIMIT_DATA counts, in bytes; 0 when it cannot be told. */
static rlim_t data_bytes(void)
{
	static const char label[] = "VmData:";
	rlim_t found = 0;
	char line[256];
	FILE *status = fopen("/proc/self/status", "re");
	while (status != NULL && found == 0 && fgets(line, sizeof(line), status) != NULL) {
		if (str_starts(line, label))
			found = strtoull(line + sizeof(label) - 1, NULL, 10) * 1024;
	}
	if (status != NULL)
		(void)fclose(status); /* read only */
	return found;
}

struct memory_bound memory_bound_set(int64_t bytes)
{
	struct memory_bound bound = {.before = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY}};
	rlim_t now = data_bytes(), most = now + (rlim_t)bytes;
	CHECK(getrlimit(RLIMIT_DATA, &bound.before) == 0);
	struct rlimit lower = bound.before;
	if (now > 0 && most < lower.rlim_cur)
		lower.rlim_cur = most;
	CHECK(setrlimit(RLIMIT_DATA, &lower) == 0);
	return bound;
}

void memory_bound_lift(const struct memory_bound *bound)
{
	CHECK(setrlimit(RLIMIT_DATA, &bound->before) == 0);
}
