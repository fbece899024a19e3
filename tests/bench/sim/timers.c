#include "tests/bench/sim/timers.h"

#include "common/base/alloc.h"

void timers_release(struct timers *timers)
{
	free(timers->items);
}

void timers_add(struct timers *timers, int64_t due_us, struct attempt *attempt)
{
	if (timers->len == timers->size) {
		timers->size = timers->size == 0 ? 64 : timers->size * 2;
		timers->items = xreallocarray(timers->items, timers->size, sizeof(*timers->items));
	}
	size_t at = timers->len++;
	while (at > 0 && timers->items[(at - 1) / 2].due_us > due_us) {
		timers->items[at] = timers->items[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	timers->items[at] = (struct timer){due_us, attempt};
}

struct attempt *timers_pop(struct timers *timers, int64_t now_us)
{
	if (timers->len == 0 || timers->items[0].due_us > now_us)
		return NULL;
	struct attempt *first = timers->items[0].attempt;
	struct timer last = timers->items[--timers->len];
	size_t at = 0;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child + 1 < timers->len && timers->items[child + 1].due_us < timers->items[child].due_us)
			child++;
		if (child >= timers->len || timers->items[child].due_us >= last.due_us)
			break;
		timers->items[at] = timers->items[child];
		at = child;
	}
	timers->items[at] = last;
	return first;
}

int64_t timers_next_us(const struct timers *timers)
{
	return timers->len == 0 ? INT64_MAX : timers->items[0].due_us;
}
