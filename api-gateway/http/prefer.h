/* Prefer (RFC 7240). Of its preferences the gateway knows `wait`. Pure functions on header values. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PREFER_WAIT_MAX INT32_MAX

/* The seconds of the first `wait` in a list of preferences, PREFER_WAIT_MAX at most; -1: there is none, or it says
 * nothing that makes sense. What else is in the list, or malformed, is passed over: a preference is no demand. */
int64_t prefer_wait(const char *value, size_t len);
