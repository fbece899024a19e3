/*
 * h2o's time-outs by a clock that nobody sets. h2o 2.2.5 keeps them by gettimeofday: after the wall clock was set back
 * by an hour no time-out of a loop passes for an hour, and set ahead all pass at once. There is no way to give it
 * another clock, but it calls h2o_timeout_link, h2o_timeout_run and h2o_timeout_get_wake_at through the dynamic linker:
 * ours, defined in the program itself, go before the library's and do the same by CLOCK_BOOTTIME (entries'
 * registered_at is of that clock). steady_timeouts_in_place sees whether they do. h2o_now is the wall clock still.
 */
#pragma once

#include <stdbool.h>

/* For h2o_evloop_run: h2o looks at the wall clock between our answer and its sleep, and where it was set back in that
 * moment the sleep is as long as that. */
#define STEADY_TURN_MAX_MS 1000

/* Would h2o call ours? Not when it is linked with its symbols bound. */
bool steady_timeouts_in_place(void);
