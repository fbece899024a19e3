/* Identifiers: random bytes, UUIDs (RFC 9562), lower-case text of 36 characters. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

#define UUID_TEXT_SIZE 37 /* with the NUL */

/* From getrandom(2); aborts when the kernel has none. */
void random_bytes(void *ret, size_t len);
/* Uniform in [0, bound), bound > 0. */
uint32_t random_below(uint32_t bound);

/* Version 7: milliseconds, then a counter that never goes back within this process, then random bits. */
void uuid_v7(char ret[UUID_TEXT_SIZE]);
/* The same with the caller's random bits (of which 62 are used): for who makes many and has random bytes in stock. */
void uuid_v7_from(const uint8_t random[8], char ret[UUID_TEXT_SIZE]);
/* Version 4, random: lease ids, nonces, ce_ids. */
void uuid_v4(char ret[UUID_TEXT_SIZE]);
/* Version 8 from the first 16 bytes of a digest. */
void uuid_v8(const uint8_t digest[16], char ret[UUID_TEXT_SIZE]);
/* Lower-case 8-4-4-4-12 hex form, any version. */
bool uuid_is_valid(const char *text, size_t len);
/* Of a valid one: 7 or 8, for instance. */
int uuid_version(const char text[UUID_TEXT_SIZE]);
