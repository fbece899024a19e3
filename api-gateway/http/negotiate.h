/* Content negotiation (RFC 9110 section 12.5.1) and the type of a request's body. Pure functions on header values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The index of the offer that `accept` likes best (earlier ones win ties), or -1. An absent or empty header takes the
 * first. `offers` ends with NULL. A malformed header is read as far as it makes sense. */
int negotiate_accept(const char *accept, size_t len, const char *const *offers);

/* Does Accept-Encoding take gzip, and rather than the text as it is (RFC 9110 section 12.5.3)? An absent header does
 * not ask for it. */
bool negotiate_gzip(const char *accept_encoding, size_t len);

/* "application/json; charset=UTF-8" is the type application/json: any other parameter than charset=utf-8 is refused. */
bool negotiate_is_type(const char *value, size_t len, const char *type);
