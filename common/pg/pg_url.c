#include <string.h>

#include "common/base/str.h"
#include "common/pg/pg.h"

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options->val != NULL && options->val[0] != '\0' ? options->val : NULL;
	}
	return NULL;
}

/* Of a list as libpq has it: parts may be empty. NULL: one, the default. */
static size_t parts_of(const char *list)
{
	size_t parts = 1;
	for (; list != NULL && *list != '\0'; list++)
		parts += *list == ',';
	return parts;
}

static int check_ports(const char *ports, size_t hosts, struct error *err)
{
	struct error why = ERROR_INIT;
	int64_t port;
	size_t len;
	if (ports == NULL)
		return 0;
	if (parts_of(ports) != 1 && parts_of(ports) != hosts)
		return error_set(err, ERR_INVALID, "the connection string has %zu ports for %zu hosts", parts_of(ports), hosts);
	for (const char *at = ports;; at += len + 1) {
		len = strcspn(at, ",");
		if (len > 0 && str_parse_int(at, len, 1, 65535, &port, &why) < 0)
			return error_set(err, ERR_INVALID, "a port of the connection string is no number from 1 to 65535");
		if (at[len] == '\0')
			return 0;
	}
}

int pg_url_check(const char *url, struct error *err)
{
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(url, &message);
	if (parsed == NULL) {
		PQfreemem(message); /* it quotes the string, which holds a password */
		return error_set(err, ERR_INVALID, "it is no connection string of Postgres (postgresql://USER@HOST:PORT/NAME)");
	}
	const char *host = value_of(parsed, "host"), *hostaddr = value_of(parsed, "hostaddr");
	int rc = 0;
	if (host != NULL && hostaddr != NULL && parts_of(host) != parts_of(hostaddr))
		rc = error_set(err, ERR_INVALID, "the connection string has %zu hosts and %zu addresses", parts_of(host),
					   parts_of(hostaddr));
	else
		rc = check_ports(value_of(parsed, "port"), parts_of(hostaddr != NULL ? hostaddr : host), err);
	PQconninfoFree(parsed);
	return rc;
}
