/*
 * The target of a request (RFC 9112 section 3.2) in its two forms: "/path?query", and "http://host/path?query", which a
 * server has to take as well. h2o 2.2.5 leaves it as it came: its own path, query and authority (the Host field's) are of
 * no use for the second form, and nobody looks at them.
 *
 * Of the second form the scheme is http or https in any case of letters, and the authority has a host and no user. Which
 * host does not matter, as it does not with Host: there is one. A fragment is of no request. The forms of CONNECT and of
 * "OPTIONS *" are no paths.
 */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"

/* Both lie in the text that was read, or are static. */
struct target {
	const char *path; /* begins with "/" */
	size_t path_len;
	const char *query; /* what is behind the first "?"; "" when there is none */
	size_t query_len;
};

/* Any thread. -1, and *ret is as it was: it is in neither form. */
int target_read(const char *text, size_t len, struct target *ret) MUST_CHECK;
