/* gzip (RFC 1952) by zlib, of a whole text. Takes about 0.3 MB for the time of a call. Any thread. */
#pragma once

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"

/* Appends `data` in gzip form. -1: it would not become smaller, or does not fit; nothing is appended. */
int gzip_append(struct buffer *buf, const void *data, size_t len) MUST_CHECK;
