#include "api-gateway/http/forwarded.h"

#include <string.h>

#include "api-gateway/http/field_list.h"
#include "common/http/address_url.h"

/* "[address]:port" */
#define HOP_MAX (IP_TEXT_SIZE + 8)

/* Takes the last element off the list, without the blanks around it. */
static struct slice take_last(struct slice *list)
{
	const char *comma = memrchr(list->data, ',', list->len), *from = comma != NULL ? comma + 1 : list->data;
	struct slice last = {from, (size_t)(list->data + list->len - from)};
	list->len = comma != NULL ? (size_t)(comma - list->data) : 0;
	return slice_trim(last);
}

static bool read_hop(struct slice hop, struct ip_address *ret_ip)
{
	char text[HOP_MAX + 1], *host;
	int port;
	struct error ignored = ERROR_INIT;
	if (hop.len > HOP_MAX || memchr(hop.data, '\0', hop.len) != NULL)
		return false;
	memcpy(text, hop.data, hop.len);
	text[hop.len] = '\0';
	return url_split_port(text, &host, &port, &ignored) == 0 && ip_read(host, ret_ip);
}

void forwarded_walk(const struct address_list *trusted, const char *text, size_t len, struct ip_address *ip)
{
	struct slice list = {text, len};
	for (int hops = 0; list.len > 0 && hops < FORWARDED_HOPS_MAX && address_list_has(trusted, ip); hops++) {
		struct slice hop = take_last(&list);
		/* Nothing between two commas is no element (RFC 9110 section 5.6.1). */
		if (hop.len > 0 && !read_hop(hop, ip))
			return;
	}
}
