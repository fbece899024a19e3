#include "common/base/gate.h"

#include <time.h>

#define LOOK_NS 100000

void gate_wait(const struct gate *gate)
{
	/* Most stay for microseconds, and this happens when a thing is replaced: not worth a condition variable, which
	 * would cost each of them. */
	while (atomic_load(&gate->inside) > 0) {
		const struct timespec pause = {.tv_nsec = LOOK_NS};
		(void)nanosleep(&pause, NULL); /* an early return only looks sooner */
	}
}
