#include "api-gateway/requests/wait_limit.h"

void wait_limit_init(struct wait_limit *limit, int max, int64_t patience_ms)
{
	limit->max = max;
	limit->patience_ms = patience_ms;
	atomic_init(&limit->waiting, 0);
	atomic_init(&limit->missed_ms, WAIT_LIMIT_NEVER);
	atomic_init(&limit->since_ms, 0);
}

bool wait_limit_stays_away(const struct wait_limit *limit, int64_t now_ms)
{
	int64_t missed_ms = atomic_load(&limit->missed_ms);
	return (missed_ms != WAIT_LIMIT_NEVER && now_ms - missed_ms < WAIT_LIMIT_MEMORY_MS) ||
		   (atomic_load(&limit->waiting) > 0 && now_ms - atomic_load(&limit->since_ms) >= limit->patience_ms);
}

bool wait_limit_enter(struct wait_limit *limit, int64_t now_ms)
{
	/* Before anybody can see that somebody waits: what was there is from the last time. */
	if (atomic_load(&limit->waiting) == 0)
		atomic_store(&limit->since_ms, now_ms);
	int others = atomic_fetch_add(&limit->waiting, 1);
	if (others == 0)
		atomic_store(&limit->since_ms, now_ms);
	if (others < limit->max || !wait_limit_stays_away(limit, now_ms))
		return true;
	atomic_fetch_sub(&limit->waiting, 1);
	return false;
}

void wait_limit_leave(struct wait_limit *limit, enum wait_end end, int64_t now_ms)
{
	if (end == WAIT_CAME)
		atomic_store(&limit->since_ms, now_ms);
	if (end != WAIT_UNTOLD)
		atomic_store(&limit->missed_ms, end == WAIT_MISSED ? now_ms : WAIT_LIMIT_NEVER);
	atomic_fetch_sub(&limit->waiting, 1);
}
