/*
 * Clocks. Durations and deadlines are CLOCK_BOOTTIME of this process: a suspended host stops CLOCK_MONOTONIC, not a
 * lease (docs/protocol.md). Wall-clock time is only shown, never compared between hosts.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);
/* Microseconds since 1970. */
int64_t clock_wall_us(void);

/* Milliseconds until a deadline of clock_boot_ms, clamped to [0, INT_MAX]: what poll(2) wants. */
int clock_left_ms(int64_t deadline_ms);

/* Does nothing for that long, or shorter: a signal ends it. For who looks again afterwards. */
void clock_pause_us(int64_t us);
void clock_pause_ms(int64_t ms);

/* RFC 3339 in UTC with microseconds, "2026-11-23T17:20:00.123456Z": 27 characters and a NUL. */
#define CLOCK_RFC3339_SIZE 28
void clock_format_rfc3339(int64_t wall_us, char ret[CLOCK_RFC3339_SIZE]);
/* Takes any RFC 3339 date-time (fraction and offset allowed). 0 or -1. */
int clock_parse_rfc3339(const char *text, size_t len, int64_t *ret_wall_us);
