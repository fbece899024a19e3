/*
 * Signals and drain. signals_init blocks SIGTERM, SIGINT and SIGHUP (and ignores SIGPIPE) in the calling thread before
 * any other thread exists, and makes a signalfd. The first SIGTERM/SIGINT begins the drain, a second one ends the
 * process at once with status 1 (a helper thread reads the signalfd, so this works whatever the main thread does).
 * SIGHUP is logged and counted; what it makes a service read again is the service's business.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

/* Main thread, once, first. */
void signals_init(void);
/* True once the drain began. Any thread. */
bool signals_draining(void);
/* Readable (poll) from the drain's beginning on, never drained; owned by the module. Any thread may poll it. */
int signals_drain_fd(void);
/* How many SIGHUPs have come. Any thread. */
unsigned signals_hangups(void);
/* Waits until the drain begins or the deadline (clock_boot_ms; -1 waits until a signal). Returns signals_draining(). */
bool signals_wait(int64_t deadline_ms);
/* Begins the drain as a SIGTERM would (a fatal condition in a thread). `reason` is logged. */
void signals_begin_drain(const char *reason);
/* In a forked child before exec: restores default dispositions and an empty mask. Async-signal-safe. */
void signals_reset_in_child(void);
