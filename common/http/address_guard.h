/*
 * Which addresses Kiln may speak to on a bot's word. Loopback, private, link-local, CGNAT, ULA, multicast, 0/8,
 * documentation ranges, v4-mapped, NAT64 and 6to4 forms of those are refused unless the allow-list names them. The
 * check is on the *resolved* address of every connection attempt; for literal addresses it can be made before (at
 * POST).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct address_guard; /* immutable after making; any thread */

/* `allow` is a comma-separated list of CIDRs, addresses or host names, each with an optional :port ([v6]:port). NULL or
 * "" allows only public addresses. Addresses and CIDRs are spelled as ip_network_read wants them, whatever a URL may
 * spell. A host name allows whatever that name (as written in the URL) resolves to. ERR_INVALID names the bad entry. */
int address_guard_new(const char *allow, struct address_guard **ret_guard, struct error *err) MUST_CHECK;
void address_guard_free(struct address_guard *guard);
/* Could it be made? A config_option's check. */
int address_guard_check(const char *allow, struct error *err) MUST_CHECK;

/* `host` is the URL's host (without brackets); may be NULL. */
bool address_guard_permits(const struct address_guard *guard, const char *host, const struct sockaddr *address);

/*
 * For a URL before use: scheme must be in `schemes` (comma-separated), no user info unless allowed, host present,
 * literal addresses are checked at once (also in odd spellings that inet_aton takes: 127.1, 0x7f000001, 2130706433).
 * Names are not resolved here. ERR_INVALID for a malformed URL, ERR_DENIED for a refused address.
 */
int address_guard_check_url(const struct address_guard *guard, const char *url, const char *schemes,
							struct error *err) MUST_CHECK;

/* Whether the allow-list names this host, by literal or by name, at this port. Callers permit http:// only then. */
bool address_guard_names_host(const struct address_guard *guard, const char *host, int port);

/* Resolves host and picks the first permitted addresses: for handing pinned addresses to git (http.curloptResolve).
 * Blocking, with deadline_ms (clock_boot_ms). ret_addresses: up to max text addresses of INET6_ADDRSTRLEN each.
 * ERR_UNAVAILABLE when it does not resolve, ERR_DENIED when nothing is permitted. */
int address_guard_resolve(const struct address_guard *guard, const char *host, int port, int64_t deadline_ms,
						  char (*ret_addresses)[INET6_ADDRSTRLEN], size_t max, size_t *ret_len,
						  struct error *err) MUST_CHECK;
