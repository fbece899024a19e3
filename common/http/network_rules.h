/*
 * What agents may reach besides their model: a project's network.allow, and whether a destination is in it. Pure
 * functions; any thread.
 *
 * An entry is HOST:PORT, HOST being a name (registry.example.org), a name behind "*." (*.example.org: every name below
 * example.org, not example.org itself), an IPv4 address or an IPv6 address in brackets. The port is always written.
 * Names are compared as they are written, without case and without a final dot; nothing is resolved here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_url.h"
#include "common/json/json.h"

#define NETWORK_RULES_MAX 64
#define NETWORK_RULE_MAX_LEN 261 /* "*." and the longest name, and a port */

/* One destination. */
struct network_place {
	char host[URL_MAX_HOST_LEN + 2]; /* lower case, no final dot; an address in its usual spelling, without brackets */
	int port;
	bool is_literal;
	struct ip_address ip; /* is_literal */
};
/* "host:port" and "[address]:port", with the NUL. */
#define NETWORK_PLACE_SIZE (URL_MAX_HOST_LEN + 10)

/* Reads HOST:PORT without a wildcard: also the target of a CONNECT (RFC 9110, 9.3.6). ERR_INVALID says what is wrong
 * and does not quote the text. */
int network_place_read(const char *text, size_t len, struct network_place *ret_place, struct error *err) MUST_CHECK;
void network_place_write(const struct network_place *place, char text[NETWORK_PLACE_SIZE]);

/* Whether it is an entry. ERR_INVALID as above. *ret_place: the destination, or what stands behind "*."; may be NULL.
 */
int network_rule_read(const char *text, struct network_place *ret_place, bool *ret_wildcard,
					  struct error *err) MUST_CHECK;

struct network_rules; /* immutable */

/* Of a JSON array of entries; NULL or null: none. ERR_INVALID, ERR_LIMIT. */
int network_rules_new(const cJSON *allow, struct network_rules **ret_rules, struct error *err) MUST_CHECK;
void network_rules_free(struct network_rules *rules);        /* accepts NULL */
size_t network_rules_len(const struct network_rules *rules); /* NULL: 0 */
bool network_rules_allow(const struct network_rules *rules, const struct network_place *place);
