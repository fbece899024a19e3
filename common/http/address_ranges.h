/*
 * IP addresses: their spellings, which of them are nobody's business on the public Internet (the special-purpose
 * registries of IANA, RFC 6890 and its updates, looked at in 2025), and which IPv6 addresses are another spelling of an
 * IPv4 address. Pure functions of an address.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/compiler.h"

/* An address in one form: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
struct ip_address {
	uint8_t bytes[16];
	bool is_v4;
};

/* False for families other than AF_INET and AF_INET6. v4-mapped IPv6 becomes IPv4: the kernel connects to the same
 * host. ret_port may be NULL. */
bool ip_from_sockaddr(const struct sockaddr *address, struct ip_address *ret_ip, int *ret_port) MUST_CHECK;

/* Text of any spelling that some resolver takes for a literal: dotted IPv4, the forms of inet_aton (127.1, 0x7f000001,
 * 2130706433, 0177.0.0.1), IPv6 without brackets and zone. False for a name. */
bool ip_from_literal(const char *text, struct ip_address *ret_ip) MUST_CHECK;

/* The usual spelling alone: four decimal numbers without leading zeros, or IPv6 without brackets and zone. */
bool ip_read(const char *text, struct ip_address *ret_ip) MUST_CHECK;
#define IP_TEXT_SIZE INET6_ADDRSTRLEN
void ip_write(const struct ip_address *ip, char ret[IP_TEXT_SIZE]);

/* The IPv4 address that a NAT64 (64:ff9b::/96) or 6to4 (2002::/16) address leads to. */
bool ip_embedded_v4(const struct ip_address *ip, struct ip_address *ret_v4) MUST_CHECK;

/* Globally reachable unicast; an embedded IPv4 address must be so too. */
bool ip_is_public(const struct ip_address *ip);

/* Are the first `prefix` bits of a and b equal? prefix counts from the start of the 16 bytes: IPv4 /8 is 104. */
bool ip_in_prefix(const struct ip_address *ip, const uint8_t network[16], unsigned prefix);
