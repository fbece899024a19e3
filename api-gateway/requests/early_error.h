/*
 * Errors that h2o answers by itself, before a handler sees the request (413, a broken chunk, an unknown expectation):
 * their text/plain becomes a problem like any other. What is no HTTP at all stays h2o's own "400 Bad Request": there is
 * no request to speak of then.
 */
#pragma once

#include <h2o.h>

/* `fallback`: the path configuration that h2o uses for them, the host's fallback. `all`: that of the handler, whose own
 * refusals of a malformed request close the connection as well. Before the contexts. */
void early_errors_register(h2o_pathconf_t *all, h2o_pathconf_t *fallback);
