/* Listening TCP sockets. */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* Listens on the first address of host and port; `ai_flags`: getaddrinfo's, beside AI_PASSIVE. Port "0": any free one.
 * The descriptor is the caller's, non-blocking and close-on-exec. ERR_INVALID: there is no such address. */
int listen_on(const char *host, const char *port, int ai_flags, int backlog, int *ret_fd, struct error *err) MUST_CHECK;
/* Can it be listened on as far as its spelling goes: a numeric address? A config_option's check. */
int listen_check_address(const char *address, struct error *err) MUST_CHECK;
/* The port of a socket of listen_on. */
int listen_port(int fd);
