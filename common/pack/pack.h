/*
 * Bytes as they are stored: a zstd frame (RFC 8878) that knows its length, where that is shorter; else as they are. The
 * frame's first bytes (28 B5 2F FD) tell which, so what was stored before there were frames is as legible.
 */
#pragma once

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* The memory that packing takes (about 300 KB), for one thread. */
struct packer;
struct packer *packer_new(void);
void packer_free(struct packer *packer); /* takes NULL */
/* Appends data[0, len) as it is to be stored. -1 when the buffer is full. */
int packer_append(struct packer *packer, const void *data, size_t len, struct buffer *out) MUST_CHECK;

/* Appends what was packed. ERR_INVALID: not a frame, or one of more than max_bytes; nothing was appended then. Any
 * thread. */
int unpack(const void *data, size_t len, size_t max_bytes, struct buffer *out, struct error *err) MUST_CHECK;
