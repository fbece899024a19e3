#include "common/http/address_guard.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/http/address_list.h"
#include "common/http/address_url.h"

#define MAX_ENTRIES 256

/* One entry of the allow-list: a name or a network, and a port (0: any). */
struct entry {
	char *name; /* NULL: a network */
	struct ip_network network;
	int port;
};

struct address_guard {
	struct entry *entries;
	size_t len;
};

static int parse_entry(char *text, struct entry *ret_entry, struct error *err)
{
	struct entry entry = {.name = NULL};
	struct ip_address ip;
	char *host;

	if (url_split_port(text, &host, &entry.port, err) < 0)
		return -1;
	size_t len = strlen(host);
	if (strchr(host, '/') != NULL || ip_read(host, &ip)) {
		if (ip_network_read(host, &entry.network, err) < 0)
			return -1;
	} else if (url_host_is_name(host, len)) {
		entry.name = xstrndup(host, host[len - 1] == '.' ? len - 1 : len);
	} else {
		return error_set(err, ERR_INVALID, "no address and no name");
	}
	*ret_entry = entry;
	return 0;
}

struct parsing {
	struct address_guard *guard;
	struct error *err;
};

static int add_entry(void *ctx, const char *part, size_t len)
{
	struct parsing *parsing = ctx;
	struct address_guard *guard = parsing->guard;
	CLEANUP(free_p) char *text = xstrndup(part, len);
	struct error why = ERROR_INIT;

	if (guard->len == MAX_ENTRIES)
		return error_set(parsing->err, ERR_LIMIT, "more than %d entries in the allow-list", MAX_ENTRIES);
	guard->entries = xreallocarray(guard->entries, guard->len + 1, sizeof(*guard->entries));
	if (parse_entry(text, &guard->entries[guard->len], &why) < 0)
		return error_set(parsing->err, ERR_INVALID,
						 "bad entry \"%.*s\" in the allow-list (wanted: a CIDR, an address or a host name, with an "
						 "optional :port): %s",
						 (int)(len < 100 ? len : 100), part, why.message);
	guard->len++;
	return 0;
}

int address_guard_new(const char *allow, struct address_guard **ret_guard, struct error *err)
{
	struct address_guard *guard = xcalloc(1, sizeof(*guard));
	struct parsing parsing = {guard, err};

	if (allow != NULL && str_split(allow, ',', add_entry, &parsing) != 0) {
		address_guard_free(guard);
		return -1;
	}
	*ret_guard = guard;
	return 0;
}

int address_guard_check(const char *allow, struct error *err)
{
	struct address_guard *guard;
	if (address_guard_new(allow, &guard, err) < 0)
		return -1;
	address_guard_free(guard);
	return 0;
}

void address_guard_free(struct address_guard *guard)
{
	if (guard == NULL)
		return;
	for (size_t i = 0; i < guard->len; i++)
		free(guard->entries[i].name);
	free(guard->entries);
	free(guard);
}

/* "Example.ORG." is example.org. */
static bool same_name(const char *entry, const char *host)
{
	size_t len = strlen(host);

	if (len > 0 && host[len - 1] == '.')
		len--;
	return strlen(entry) == len && strncasecmp(entry, host, len) == 0;
}

static bool names_address(const struct address_guard *guard, const struct ip_address *ip, int port)
{
	struct ip_address v4;
	bool embedded = ip_embedded_v4(ip, &v4);

	for (size_t i = 0; i < guard->len; i++) {
		const struct entry *entry = &guard->entries[i];
		if (entry->name != NULL || (entry->port != 0 && entry->port != port))
			continue;
		if (ip_in_network(ip, &entry->network) || (embedded && ip_in_network(&v4, &entry->network)))
			return true;
	}
	return false;
}

static bool names_name(const struct address_guard *guard, const char *host, int port)
{
	for (size_t i = 0; i < guard->len; i++) {
		const struct entry *entry = &guard->entries[i];
		if (entry->name != NULL && (entry->port == 0 || entry->port == port) && same_name(entry->name, host))
			return true;
	}
	return false;
}

bool address_guard_permits(const struct address_guard *guard, const char *host, const struct sockaddr *address)
{
	struct ip_address ip;
	int port;

	if (!ip_from_sockaddr(address, &ip, &port))
		return false;
	return ip_is_public(&ip) || names_address(guard, &ip, port) || (host != NULL && names_name(guard, host, port));
}

bool address_guard_names_host(const struct address_guard *guard, const char *host, int port)
{
	struct ip_address ip;

	if (url_host_literal(host, &ip))
		return names_address(guard, &ip, port);
	return names_name(guard, host, port);
}

int address_guard_check_url(const struct address_guard *guard, const char *url, const char *schemes, struct error *err)
{
	struct url_parts parts;
	struct ip_address ip;

	if (url_split(url, schemes, &parts, err) < 0)
		return -1;
	if (url_host_literal(parts.host, &ip) && !ip_is_public(&ip) && !names_address(guard, &ip, parts.port))
		return error_set(err, ERR_DENIED, "%s is not a public address, and the allow-list does not name it",
						 parts.host);
	return 0;
}
