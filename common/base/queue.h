/* A bounded queue of pointers between threads, on CLOCK_MONOTONIC condition variables. Values are the caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

struct queue;

struct queue *queue_new(size_t max);
/* Pending values are not freed: close and drain first. */
void queue_free(struct queue *queue);
/* False when full or closed: the value stays the caller's. */
bool queue_try_push(struct queue *queue, void *value) MUST_CHECK;
/* As many of the first ones as there is room for; returns how many. */
size_t queue_try_push_many(struct queue *queue, void *const *values, size_t count) MUST_CHECK;
/* Waits up to timeout_ms (0 = do not wait). NULL at the time-out, or when closed and empty. */
void *queue_pop(struct queue *queue, int timeout_ms);
/* Waits for the first one likewise, and takes up to `max` of those that are there; returns how many. */
size_t queue_pop_many(struct queue *queue, int timeout_ms, void **ret_values, size_t max);
/* No more pushes; poppers drain what is left, then get NULL at once. */
void queue_close(struct queue *queue);
bool queue_closed(struct queue *queue);
