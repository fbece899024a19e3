/*
 * A gate before a thing that is used by many threads and replaced by one: whoever passes uses it; the one closes it
 * and waits until all of them have left. Passing is one addition: where a lock would be taken by every caller of every
 * call, it is not contended and nobody who is preempted inside stops the others.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct gate {
	_Atomic bool open;
	_Atomic int inside;
};

/* True: inside, until gate_leave. False: closed. Any thread; never waits. */
static inline bool gate_enter(struct gate *gate)
{
	/* Sequentially consistent, as all of these: either gate_close sees this one inside, or it sees the gate closed. */
	atomic_fetch_add(&gate->inside, 1);
	if (atomic_load(&gate->open))
		return true;
	atomic_fetch_sub(&gate->inside, 1);
	return false;
}

static inline void gate_leave(struct gate *gate)
{
	atomic_fetch_sub(&gate->inside, 1);
}

/* What was written before is seen by all who pass. One thread opens and closes. */
static inline void gate_open(struct gate *gate)
{
	atomic_store(&gate->open, true);
}

/* Nobody passes any more; who is inside may go on. */
static inline void gate_close(struct gate *gate)
{
	atomic_store(&gate->open, false);
}

/* After gate_close: until nobody is inside. Callers must have a limit to their stay. */
void gate_wait(const struct gate *gate);
