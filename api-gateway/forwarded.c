#include "api-gateway/forwarded.h"

#include <string.h>

#include "common/http/address_url.h"

/* "[address]:port" */
#define HOP_MAX (IP_TEXT_SIZE + 8)

/* Takes the last element off the list, without the blanks around it. */
static size_t take_last(const char *text, size_t *len, const char **ret_hop)
{
	const char *comma = memrchr(text, ',', *len), *from = comma != NULL ? comma + 1 : text, *to = text + *len;
	*len = comma != NULL ? (size_t)(comma - text) : 0;
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (from < to && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	*ret_hop = from;
	return (size_t)(to - from);
}

static bool read_hop(const char *hop, size_t len, struct ip_address *ret_ip)
{
	char text[HOP_MAX + 1], *host;
	int port;
	struct error ignored = ERROR_INIT;
	if (len > HOP_MAX || memchr(hop, '\0', len) != NULL)
		return false;
	memcpy(text, hop, len);
	text[len] = '\0';
	return url_split_port(text, &host, &port, &ignored) == 0 && ip_read(host, ret_ip);
}

void forwarded_walk(const struct address_list *trusted, const char *text, size_t len, struct ip_address *ip)
{
	for (int hops = 0; len > 0 && hops < FORWARDED_HOPS_MAX && address_list_has(trusted, ip); hops++) {
		const char *hop;
		size_t hop_len = take_last(text, &len, &hop);
		/* Nothing between two commas is no element (RFC 9110 section 5.6.1). */
		if (hop_len > 0 && !read_hop(hop, hop_len, ip))
			return;
	}
}
