/*
 * What must be seen nowhere: tokens and keys, shown as [masked] wherever an agent or git prints them. A net for
 * accidents, not a wall: it knows a secret as it is, in base64 (within other bytes, too), percent-encoded and in JSON,
 * on one line; not in pieces, in hex or in a cipher.
 *
 * One thread. Masking costs one look at each byte, whatever the number of secrets.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

#define SECRET_MASK "[masked]"
/* What is shorter would mask half of every log. A mask is no longer, so that no text grows by it. */
#define SECRET_MIN_BYTES 8
/* Of one spelling; a longer secret is known in pieces. */
#define SECRET_MAX_BYTES ((size_t)4096)
/* Spellings of all secrets together; beyond it the oldest are forgotten. */
#define SECRETS_MAX_SPELLINGS 2048

struct secret_spelling;

/* Zeroed: there are none. */
struct secrets {
	struct secret_spelling *spellings;
	size_t len;
	uint64_t *first; /* a bit for the hash of the first bytes of each */
};

/* Copies. Each line of it is a secret of its own (keys have many), but for the frame of a PEM file. NULL: nothing. */
void secrets_add(struct secrets *secrets, const char *text);
/* Wipes. */
void secrets_release(struct secrets *secrets);

/* Masks in place a text that is all there, and a secret's first SECRET_MIN_BYTES or more at its end, where it may have
 * been cut. Returns the new length. */
size_t secrets_mask(const struct secrets *secrets, char *text, size_t len);

/* The same for bytes that come in pieces, cut anywhere: what may be a part of a secret waits for the rest. It is never
 * a whole line that waits, and at most SECRETS_WAITING_BYTES. Zeroed: nothing waits. */
#define SECRETS_WAITING_BYTES (4 * SECRET_MAX_BYTES)
struct secrets_stream {
	char *waiting;
	size_t len;
};
/* Appends to `out` what may be shown now; room for len + SECRETS_WAITING_BYTES is wanted. `last`: all of it, as
 * the end of a text. */
void secrets_stream_add(struct secrets_stream *stream, const struct secrets *secrets, const char *data, size_t len,
						bool last, struct buffer *out);
void secrets_stream_release(struct secrets_stream *stream);
