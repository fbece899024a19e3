#include "common/http/address_list.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

struct address_list {
	size_t len;
	struct ip_network networks[ADDRESS_LIST_MAX];
};

bool ip_in_network(const struct ip_address *ip, const struct ip_network *network)
{
	/* IPv4's bytes lie under ::ffff:0:0/96. */
	return (!ip->is_v4 || network->prefix >= 96) && ip_in_prefix(ip, network->bytes, network->prefix);
}

static bool has_bits_behind(const struct ip_network *network)
{
	for (unsigned bit = network->prefix; bit < 128; bit++) {
		if ((network->bytes[bit / 8] & (0x80U >> bit % 8)) != 0)
			return true;
	}
	return false;
}

int ip_network_read(char *text, struct ip_network *ret_network, struct error *err)
{
	struct ip_network network;
	struct ip_address ip;
	char *bits = strchr(text, '/');
	if (bits != NULL)
		*bits++ = '\0';
	if (!ip_read(text, &ip))
		return error_set(err, ERR_INVALID, "no address");
	int64_t count = ip.is_v4 ? 32 : 128;
	if (bits != NULL && str_parse_int(bits, strlen(bits), 0, count, &count, err) < 0)
		return -1;
	memcpy(network.bytes, ip.bytes, sizeof(network.bytes));
	network.prefix = (unsigned)count + (ip.is_v4 ? 96 : 0);
	if (has_bits_behind(&network))
		return error_set(err, ERR_INVALID, "the address has bits behind the prefix");
	*ret_network = network;
	return 0;
}

struct reading {
	struct address_list *list;
	struct error *err;
};

static int add_entry(void *ctx, const char *part, size_t len)
{
	struct reading *reading = ctx;
	struct address_list *list = reading->list;
	CLEANUP(free_p) char *text = xstrndup(part, len);
	struct error why = ERROR_INIT;

	if (list->len == ADDRESS_LIST_MAX)
		return error_set(reading->err, ERR_LIMIT, "more than %d entries", ADDRESS_LIST_MAX);
	if (ip_network_read(text, &list->networks[list->len], &why) < 0)
		return error_set(reading->err, ERR_INVALID,
						 "bad entry \"%.*s\" (wanted: an address or a CIDR, such as 192.0.2.7 or 2001:db8::/32): %s",
						 (int)(len < 100 ? len : 100), part, why.message);
	list->len++;
	return 0;
}

int address_list_new(const char *text, struct address_list **ret_list, struct error *err)
{
	struct address_list *list = xcalloc(1, sizeof(*list));
	struct reading reading = {list, err};

	if (text != NULL && str_split(text, ',', add_entry, &reading) != 0) {
		address_list_free(list);
		return -1;
	}
	*ret_list = list;
	return 0;
}

int address_list_check(const char *text, struct error *err)
{
	struct address_list *list;
	if (address_list_new(text, &list, err) < 0)
		return -1;
	address_list_free(list);
	return 0;
}

void address_list_free(struct address_list *list)
{
	free(list);
}

bool address_list_has(const struct address_list *list, const struct ip_address *ip)
{
	for (size_t i = 0; i < list->len; i++) {
		if (ip_in_network(ip, &list->networks[i]))
			return true;
	}
	return false;
}
