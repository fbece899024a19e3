#include "common/base/gate.h"

#include "common/base/clock.h"

#define LOOK_US 100

void gate_wait(const struct gate *gate)
{
	/* Most stay for microseconds, and this happens when a thing is replaced: not worth a condition variable, which
	 * would cost each of them. */
	while (atomic_load(&gate->inside) > 0) {
		clock_pause_us(LOOK_US);
	}
}
