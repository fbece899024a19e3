#include "common/base/clock.h"

#include <limits.h>

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;
	(void)clock_gettime(clock, &now); /* fails for an unknown clock only */
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_boot_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

int64_t clock_boot_ms(void)
{
	return clock_boot_us() / 1000;
}

int64_t clock_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

void clock_pause_us(int64_t us)
{
	const struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
	if (us > 0)
		(void)nanosleep(&pause, NULL); /* as the header says */
}

void clock_pause_ms(int64_t ms)
{
	clock_pause_us(ms * 1000);
}

int clock_left_ms(int64_t deadline_ms)
{
	int64_t now = clock_boot_ms();
	if (deadline_ms <= now)
		return 0;
	int64_t left = deadline_ms - now;
	return left > INT_MAX ? INT_MAX : (int)left;
}
