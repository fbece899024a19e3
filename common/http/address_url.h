/*
 * The one URL grammar that Kiln takes from bots: so narrow that libcurl, git and every other parser read the same host
 * out of it. scheme://host[:port][/…], host a name of [A-Za-z0-9._-], an IPv4 literal in any spelling, or an IPv6
 * literal in brackets; no user information (ssh:// may have a user without a password); printable ASCII without blanks,
 * backslashes, quotes and angle brackets; at most 2,048 bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_ranges.h"

#define URL_MAX_LEN 2048
#define URL_MAX_HOST_LEN 253

struct url_parts {
	char scheme[8];
	char host[URL_MAX_HOST_LEN + 2]; /* without brackets, as written */
	int port;                        /* the scheme's own when the URL has none */
};

/* ERR_INVALID says what is wrong. `schemes` is comma-separated, lower case; known ones are http, https, ssh. */
int url_split(const char *url, const char *schemes, struct url_parts *ret_parts, struct error *err) MUST_CHECK;

/* Can repositories lie below it, as a git_url of the contract: https://, ssh:// or http://, without query and fragment?
 * A config_option's check. */
int url_check_git_base(const char *url, struct error *err) MUST_CHECK;

/* Labels of [A-Za-z0-9_-] between dots, one dot at the end allowed, no label empty or over 63 bytes, and the last one
 * no number. */
bool url_host_is_name(const char *host, size_t len);

/* A literal, also with the final dot that some resolvers ignore. */
bool url_host_literal(const char *host, struct ip_address *ret_ip) MUST_CHECK;

/* Of "host", "host:port", "[v6]", "[v6]:port" and a bare IPv6 address, which has no port (0): the parts, the brackets
 * gone. The host is not looked at; it points into `text`, which is cut. ERR_INVALID. */
int url_split_port(char *text, char **ret_host, int *ret_port, struct error *err) MUST_CHECK;
