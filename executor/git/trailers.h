/* Trailers of commit messages. `Kiln-*` ones are ours alone: an agent or a bot that writes one would forge another
 * build's. */
#pragma once

#include "common/base/buffer.h"

/* Appends `message` without any line that looks like a Kiln-* trailer (any case, anywhere, with its continuation
 * lines), without blank lines at its head, trimmed at the end. */
void trailers_strip(struct buffer *out, const char *message);
/* Whether trailers_strip would remove something. */
int trailers_present(const char *message);
/* Appends "KEY: value" lines to a message: after a blank line, unless the message already ends in a block of trailers.
 * The message stays without newline at the end. It has a subject: what stands there is no trailer to git. */
void trailers_add(struct buffer *message, const char *key, const char *value);
/* Whether the message has exactly the line "KEY: value". */
int trailers_have(const char *message, const char *key, const char *value);
/* The value of the first line "KEY: value", in the message itself and ret_len long; NULL: there is none. */
const char *trailers_find(const char *message, const char *key, size_t *ret_len);
