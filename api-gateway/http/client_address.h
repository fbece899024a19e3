/*
 * Where a request comes from: the one place that says it, for the access log, the audit and the limit of guesses. It is
 * the peer of the TCP connection, unless KILN_TRUSTED_PROXIES names that: then it is what X-Forwarded-For tells
 * (forwarded.h). No other header is believed, RFC 7239's Forwarded neither.
 */
#pragma once

#include "common/http/address_ranges.h"

struct client_address {
	struct ip_address ip;
	char text[IP_TEXT_SIZE]; /* "": not known, for the client had gone; ip is zero then */
};

struct request;

/* Loop, once, when the request begins. */
void client_address_find(struct request *request);
