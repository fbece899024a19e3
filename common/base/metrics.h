/*
 * Prometheus metrics, registered at start in static storage, updated lock-free from any thread, rendered by the ops
 * port. Names are kiln_*, base units, no ids in labels.
 */
#pragma once

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_BUCKETS 15

/* One series. Same `name` with other `labels` = other series of one family (help and kind of the first are printed). */
struct metric {
	enum metric_kind kind;
	const char *name; /* counters end in _total */
	const char *help;
	const char *labels;                           /* `outcome="completed"` or NULL; static, already escaped */
	_Atomic int64_t value;                        /* counter, gauge */
	_Atomic uint64_t buckets[METRIC_BUCKETS + 1]; /* histogram: bounds 0.5 ms … 8.192 s doubling; then +Inf */
	_Atomic uint64_t sum_us;
	struct metric *next;
};

/* Keeps the pointer for ever (static storage). Before or after the ops port starts; any thread. Twice is a bug: a module
 * registers its series where it starts, and by pthread_once when a process may have several of it. */
void metric_register(struct metric *metric);
void metric_add(struct metric *metric, int64_t delta);
void metric_set(struct metric *metric, int64_t value);
/* Histogram of seconds. */
void metric_observe_us(struct metric *metric, int64_t duration_us);
/* Appends the whole registry in text format 0.0.4. */
int metrics_render(struct buffer *buf);
