#include "common/base/compiler.h"

#include <unistd.h>

NORETURN void check_failed(const char *file, int line, const char *expression)
{
	/* Not through the log: its own invariants may be the broken ones. */
	(void)dprintf(STDERR_FILENO, "kiln: broken invariant at %s:%d: %s\n", file, line, expression);
	abort();
}
