/* SipHash-1-3 with a random key per process: clients choose map keys, so they must not be able to choose collisions. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const void *data, size_t len);
