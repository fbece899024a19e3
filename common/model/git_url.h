/* A git URL in its parts: https://, http:// or ssh://, as docs/contract.md allows them. Literal and conservative: what
 * has two readings is refused. */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct git_url {
	char scheme[8];  /* "https", "http", "ssh" */
	char user[64];   /* ssh only; "" = none */
	char host[256];  /* lower case, without brackets */
	int port;        /* the scheme's own when none is given */
	char path[2049]; /* from its '/', without a '/' at the end; "" for none */
};

/* ERR_INVALID for another scheme, user info outside of ssh, a query or fragment, dot segments, encoded dots, slashes or
 * backslashes. */
int git_url_parse(const char *text, struct git_url *ret_url, struct error *err) MUST_CHECK;

/* Whether ssh may be told it as a user's name: letters, digits, and behind the first of them ".", "_" and "-". */
bool git_url_is_user(const char *text);

/* Whether `url` lies below `prefix`: same scheme, host and port, and the path of the prefix ends at a '/' of the URL's
 * (or at its end). */
bool git_url_is_below(const struct git_url *url, const struct git_url *prefix);
/* The same of a base as it is configured. NULL, or one that is no such URL: false. */
bool git_url_is_below_base(const struct git_url *url, const char *base);
