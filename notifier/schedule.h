/* When a webhook is tried again: Standard Webhooks' schedule, or the one that KILN_WEBHOOK_SCHEDULE names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define SCHEDULE_MAX_ATTEMPTS 32
/* A server that asks for more is asked again after this. */
#define SCHEDULE_MAX_RETRY_AFTER_S 86400

struct schedule {
	int64_t delay_ms[SCHEDULE_MAX_ATTEMPTS]; /* before attempt 1, 2, … */
	size_t len;
};

/* "0,5,300": whole seconds, at most a week each. */
int schedule_parse(const char *text, struct schedule *ret_schedule, struct error *err) MUST_CHECK;
/* Is it one? A config_option's check. */
int schedule_check(const char *text, struct error *err) MUST_CHECK;

/*
 * The pause after attempt number `attempts_made` (from 1): its place in the schedule plus up to a tenth of jitter, and
 * at least retry_after_s (-1: none). False when that was the last one.
 */
bool schedule_next(const struct schedule *schedule, int64_t attempts_made, int64_t retry_after_s,
				   int64_t *ret_delay_ms);
