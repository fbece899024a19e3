/* Authenticated encryption of what is stored somewhere else: AES-256-GCM by OpenSSL, a random nonce each time.
 * Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define SEAL_KEY_SIZE 32
#define SEAL_OVERHEAD 28 /* nonce, then the text, then the tag */

/* Appends the sealed data. `bound` is not in it, but must be the same when it is opened: what the data belongs to.
 * -1: the buffer is full. */
int seal_append(struct buffer *ret, const uint8_t key[SEAL_KEY_SIZE], const void *bound, size_t bound_len,
				const void *data, size_t len) MUST_CHECK;
/* Appends the opened data. ERR_INVALID: another key, other bounds, or it was changed; nothing is appended then. */
int seal_open(struct buffer *ret, const uint8_t key[SEAL_KEY_SIZE], const void *bound, size_t bound_len,
			  const void *sealed, size_t len, struct error *err) MUST_CHECK;
