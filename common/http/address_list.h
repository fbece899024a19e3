/*
 * Networks, and the lists of them that operators write. Pure functions; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_ranges.h"

#define ADDRESS_LIST_MAX 256 /* entries */

struct ip_network {
	uint8_t bytes[16];
	unsigned prefix; /* bits, from the start of the 16 bytes: IPv4 /8 is 104 */
};

/* An address or a CIDR, in its usual spelling (ip_read), which is cut. A CIDR has no bit behind its prefix: whoever
 * writes 10.1.2.3/8 means either less or more. ERR_INVALID. */
int ip_network_read(char *text, struct ip_network *ret_network, struct error *err) MUST_CHECK;
/* ::/0 means IPv6 and nothing of IPv4. */
bool ip_in_network(const struct ip_address *ip, const struct ip_network *network);

struct address_list; /* immutable */

/* Those of ip_network_read, separated by commas; NULL or "": nothing is in it. ERR_INVALID names the bad entry;
 * ERR_LIMIT. */
int address_list_new(const char *text, struct address_list **ret_list, struct error *err) MUST_CHECK;
void address_list_free(struct address_list *list); /* accepts NULL */
/* Could it be made? A config_option's check. */
int address_list_check(const char *text, struct error *err) MUST_CHECK;
bool address_list_has(const struct address_list *list, const struct ip_address *ip);
