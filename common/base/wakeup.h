/* A coalescing wake-up between threads: an eventfd. Any number of wakeup_signal before a wakeup_wait make one wake-up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct wakeup {
	int fd; /* pollable: readable when signalled */
};

void wakeup_init(struct wakeup *wakeup);
void wakeup_release(struct wakeup *wakeup);
void wakeup_signal(struct wakeup *wakeup); /* any thread; async-signal-safe */
/* Waits until signalled or timeout_ms passed (-1 is not allowed); clears the signal. True when it was signalled. */
bool wakeup_wait(struct wakeup *wakeup, int timeout_ms);
/* Clears without waiting. */
void wakeup_clear(struct wakeup *wakeup);
