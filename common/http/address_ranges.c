#include "common/http/address_ranges.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/base/compiler.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64_prefix[16] = {0, 0x64, 0xff, 0x9b};

static void ip_from_v4(const void *four_bytes, struct ip_address *ret_ip)
{
	memcpy(ret_ip->bytes, mapped_prefix, sizeof(mapped_prefix));
	memcpy(ret_ip->bytes + 12, four_bytes, 4);
	ret_ip->is_v4 = true;
}

static void ip_from_v6(const void *sixteen_bytes, struct ip_address *ret_ip)
{
	memcpy(ret_ip->bytes, sixteen_bytes, 16);
	ret_ip->is_v4 = memcmp(sixteen_bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool ip_from_sockaddr(const struct sockaddr *address, struct ip_address *ret_ip, int *ret_port)
{
	int port = 0;

	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof(in));
		ip_from_v4(&in.sin_addr, ret_ip);
		port = ntohs(in.sin_port);
	} else if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, address, sizeof(in6));
		ip_from_v6(&in6.sin6_addr, ret_ip);
		port = ntohs(in6.sin6_port);
	} else {
		return false;
	}
	if (ret_port != NULL)
		*ret_port = port;
	return true;
}

bool ip_read(const char *text, struct ip_address *ret_ip)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET6, text, &v6) == 1) {
		ip_from_v6(&v6, ret_ip);
		return true;
	}
	if (inet_pton(AF_INET, text, &v4) == 1) {
		ip_from_v4(&v4, ret_ip);
		return true;
	}
	return false;
}

bool ip_from_literal(const char *text, struct ip_address *ret_ip)
{
	struct in_addr v4;

	if (ip_read(text, ret_ip))
		return true;
	/* inet_aton ignores what follows a blank. */
	if (strpbrk(text, " \t\r\n\v\f") == NULL && inet_aton(text, &v4) == 1) {
		ip_from_v4(&v4, ret_ip);
		return true;
	}
	return false;
}

/* inet_ntop does it by printf, which every request to the gateway would pay for. */
static void write_v4(const uint8_t *four_bytes, char *ret)
{
	for (int i = 0; i < 4; i++) {
		unsigned byte = four_bytes[i];
		if (byte >= 100)
			*ret++ = (char)('0' + byte / 100);
		if (byte >= 10)
			*ret++ = (char)('0' + byte / 10 % 10);
		*ret++ = (char)('0' + byte % 10);
		*ret++ = i < 3 ? '.' : '\0';
	}
}

void ip_write(const struct ip_address *ip, char ret[IP_TEXT_SIZE])
{
	if (ip->is_v4)
		write_v4(ip->bytes + 12, ret);
	else
		CHECK(inet_ntop(AF_INET6, ip->bytes, ret, IP_TEXT_SIZE) != NULL);
}

bool ip_in_prefix(const struct ip_address *ip, const uint8_t network[16], unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (memcmp(ip->bytes, network, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - rest));
	return (ip->bytes[whole] & mask) == (network[whole] & mask);
}

bool ip_embedded_v4(const struct ip_address *ip, struct ip_address *ret_v4)
{
	if (ip->is_v4)
		return false;
	if (ip_in_prefix(ip, nat64_prefix, 96)) {
		ip_from_v4(ip->bytes + 12, ret_v4);
		return true;
	}
	if (ip->bytes[0] == 0x20 && ip->bytes[1] == 0x02) {
		ip_from_v4(ip->bytes + 2, ret_v4);
		return true;
	}
	return false;
}

/* IANA's IPv4 special-purpose registry without the rows that are globally reachable, plus multicast. */
static const struct {
	uint8_t network[4];
	uint8_t prefix;
} special_v4[] = {
	{{0, 0, 0, 0}, 8},       /* this network (RFC 791); Linux takes 0.0.0.0 for loopback */
	{{10, 0, 0, 0}, 8},      /* private (RFC 1918) */
	{{100, 64, 0, 0}, 10},   /* carrier-grade NAT (RFC 6598) */
	{{127, 0, 0, 0}, 8},     /* loopback (RFC 1122) */
	{{169, 254, 0, 0}, 16},  /* link-local (RFC 3927): clouds' metadata */
	{{172, 16, 0, 0}, 12},   /* private (RFC 1918) */
	{{192, 0, 0, 0}, 24},    /* protocol assignments (RFC 6890) */
	{{192, 0, 2, 0}, 24},    /* documentation (RFC 5737) */
	{{192, 88, 99, 0}, 24},  /* 6to4 relays (RFC 7526) */
	{{192, 168, 0, 0}, 16},  /* private (RFC 1918) */
	{{198, 18, 0, 0}, 15},   /* benchmarks (RFC 2544) */
	{{198, 51, 100, 0}, 24}, /* documentation (RFC 5737) */
	{{203, 0, 113, 0}, 24},  /* documentation (RFC 5737) */
	{{224, 0, 0, 0}, 4},     /* multicast (RFC 5771) */
	{{240, 0, 0, 0}, 4},     /* reserved, and limited broadcast (RFC 1112, RFC 8190) */
};

/* Within 2000::/3, which is all of IPv6 that is handed out: what is not reachable. */
static const struct {
	uint8_t network[16];
	uint8_t prefix;
} special_v6[] = {
	{{0x20, 0x01}, 23},                         /* protocol assignments, with Teredo, ORCHID, benchmarks (RFC 2928) */
	{{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation (RFC 3849) */
	{{0x3f, 0xff}, 20},                         /* documentation (RFC 9637) */
	{{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48}, /* AS112 direct delegation (RFC 7534): nobody's web server */
};

static bool v4_is_public(const uint8_t *four_bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(special_v4); i++) {
		uint32_t address, network;
		memcpy(&address, four_bytes, 4);
		memcpy(&network, special_v4[i].network, 4);
		uint32_t mask = htonl(0xffffffffU << (32 - special_v4[i].prefix));
		if ((address & mask) == (network & mask))
			return false;
	}
	return true;
}

bool ip_is_public(const struct ip_address *ip)
{
	struct ip_address v4;

	if (ip->is_v4)
		return v4_is_public(ip->bytes + 12);
	if (ip_embedded_v4(ip, &v4))
		return v4_is_public(v4.bytes + 12);
	/* Everything else out of 2000::/3 is special (loopback, v4-compatible, local NAT64, discard, segment routing, ULA,
	 * link- and site-local, multicast) or not handed out. */
	if ((ip->bytes[0] & 0xe0) != 0x20)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(special_v6); i++) {
		if (ip_in_prefix(ip, special_v6[i].network, special_v6[i].prefix))
			return false;
	}
	return true;
}
