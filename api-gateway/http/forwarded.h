/*
 * X-Forwarded-For: a list to whose end each proxy adds the peer that it saw. Pure; any thread.
 *
 * It is walked from its end, past addresses that are trusted; the first that is not is the client's, and what stands
 * before it anybody may have written. A list of trusted addresses only began at its first. What is no address ends the
 * walk: the client is then the proxy that came last, which let it through.
 */
#pragma once

#include <stddef.h>

#include "common/http/address_list.h"

#define FORWARDED_HOPS_MAX 32 /* elements that are looked at: nobody has as many proxies behind one another */

/* *ip is the connection's peer, and becomes the client: another address only if the peer is trusted. `text` is the
 * header's value, its lines one list. An address may stand in brackets, and have a port behind it. */
void forwarded_walk(const struct address_list *trusted, const char *text, size_t len, struct ip_address *ip);
