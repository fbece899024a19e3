/* The text of Server-Sent Events (HTML, section 9.2). Pure functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/*
 * Appends one event. `data` keeps its bytes: a line of its own for each line of it, so that whatever comes from a topic
 * cannot forge an event. `id` is NULL for none, and like `type` without line ends (a bug otherwise: CHECK). The
 * buffer's owner looks at buffer_ok.
 */
void sse_event(struct buffer *buf, const char *id, const char *type, const char *data, size_t data_len);
/* The same without the id, which whoever sends it puts before it (sse_id). */
void sse_id(struct buffer *buf, const char *id);

/* A Last-Event-ID that is a sequence: decimal, from 0. ERR_INVALID. */
int sse_read_sequence(const char *value, size_t len, int64_t *ret_sequence, struct error *err) MUST_CHECK;
