/* kiln-bench-agent: a command agent that does nothing but say when it came to life (clock_boot_us), which is the
 * build's output. */
#include <stdio.h>

#include "common/base/clock.h"

int main(void)
{
	(void)printf("%lld\n", (long long)clock_boot_us());
	return fflush(stdout) == 0 ? 0 : 1;
}
