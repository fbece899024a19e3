/*
 * Resolving a name without waiting, for event loops: getaddrinfo has no deadline, so it runs on a thread of its own,
 * which may outlive whoever has asked. At most ADDRESS_LOOK_UPS_MAX of them at once in a process, given-up ones
 * included.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_guard.h"

#define ADDRESS_LOOK_UPS_MAX 64

struct address_look_up;

/* ERR_LIMIT when there are too many; of thread_start when there is no thread. */
int address_look_up_start(const char *host, int port, struct address_look_up **ret_look_up,
						  struct error *err) MUST_CHECK;
/* Readable when it is done. */
int address_look_up_fd(const struct address_look_up *look_up);
/* Once it is readable: the addresses that the guard permits for this name, with the port, up to `max`, in the order of
 * getaddrinfo. Whoever connects to one of these connects to what was checked. ERR_UNAVAILABLE when the name does not
 * resolve, ERR_DENIED when nothing is permitted. */
int address_look_up_take(struct address_look_up *look_up, const struct address_guard *guard,
						 struct sockaddr_storage *ret_addresses, size_t max, size_t *ret_len,
						 struct error *err) MUST_CHECK;
/* Also before it is done; accepts NULL. */
void address_look_up_free(struct address_look_up *look_up);
