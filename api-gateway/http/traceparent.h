/* W3C Trace Context: the caller's trace id goes on into Kafka with a span of our own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACEPARENT_SIZE 56 /* 00-32-16-2 and the NUL */
#define TRACE_ID_LEN 32

/*
 * `text` is the header's value (may be NULL). A valid one gives its trace id and its sampled flag to `ret`; anything
 * else is ignored and a new, sampled trace begins, as the standard asks. `random` is 24 random bytes: 16 for a new
 * trace id and 8 for our span.
 */
void traceparent_continue(const char *text, size_t len, const uint8_t random[24], char ret[TRACEPARENT_SIZE]);
bool traceparent_is_valid(const char *text, size_t len);
