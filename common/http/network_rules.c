#include "common/http/network_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

struct rule {
	struct network_place place; /* with a wildcard: what the name must end with, behind a dot */
	bool wildcard;
};

struct network_rules {
	size_t len;
	struct rule rules[NETWORK_RULES_MAX];
};

static void set_literal(struct network_place *place, const struct ip_address *ip)
{
	place->is_literal = true;
	place->ip = *ip;
	ip_write(ip, place->host);
}

static int set_host(struct network_place *place, const char *text, size_t len, struct error *err)
{
	struct ip_address ip;
	bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (brackets) {
		text++;
		len -= 2;
	}
	if (len == 0 || len > URL_MAX_HOST_LEN || memchr(text, '\0', len) != NULL)
		return error_set(err, ERR_INVALID, "a host has 1 to %d characters", URL_MAX_HOST_LEN);
	memcpy(place->host, text, len);
	place->host[len] = '\0';
	if (brackets != (memchr(text, ':', len) != NULL))
		return error_set(err, ERR_INVALID, "an IPv6 address, and only that, stands in brackets");
	if (url_host_literal(place->host, &ip)) {
		set_literal(place, &ip);
		return 0;
	}
	if (brackets || place->host[0] == '-' || !url_host_is_name(place->host, len))
		return error_set(err, ERR_INVALID, "the host is neither a name nor an address");
	if (place->host[len - 1] == '.')
		place->host[len - 1] = '\0';
	for (char *c = place->host; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

int network_place_read(const char *text, size_t len, struct network_place *ret_place, struct error *err)
{
	struct network_place place = {.port = 0};
	const char *colon = memrchr(text, ':', len);
	int64_t port;
	struct error ignored = ERROR_INIT;
	if (colon == NULL || memchr(colon, ']', (size_t)(text + len - colon)) != NULL)
		return error_set(err, ERR_INVALID, "there is no port: HOST:PORT is wanted, as in example.org:443");
	if (str_parse_int(colon + 1, (size_t)(text + len - colon - 1), 1, 65535, &port, &ignored) < 0)
		return error_set(err, ERR_INVALID, "the port is not a number from 1 to 65535");
	place.port = (int)port;
	if (set_host(&place, text, (size_t)(colon - text), err) < 0)
		return -1;
	*ret_place = place;
	return 0;
}

void network_place_write(const struct network_place *place, char text[NETWORK_PLACE_SIZE])
{
	bool brackets = place->is_literal && !place->ip.is_v4;
	(void)snprintf(text, NETWORK_PLACE_SIZE, brackets ? "[%s]:%d" : "%s:%d", place->host, place->port); /* it fits */
}

int network_rule_read(const char *text, struct network_place *ret_place, bool *ret_wildcard, struct error *err)
{
	struct network_place place;
	size_t len = strlen(text);
	bool wildcard = str_starts(text, "*.");
	if (len > NETWORK_RULE_MAX_LEN)
		return error_set(err, ERR_INVALID, "it is longer than %d characters", NETWORK_RULE_MAX_LEN);
	if (network_place_read(wildcard ? text + 2 : text, wildcard ? len - 2 : len, &place, err) < 0)
		return -1;
	/* "*.org" would be half of the world. */
	if (wildcard && (place.is_literal || strchr(place.host, '.') == NULL))
		return error_set(err, ERR_INVALID, "behind \"*.\" stands a name of at least two parts");
	if (ret_place != NULL)
		*ret_place = place;
	if (ret_wildcard != NULL)
		*ret_wildcard = wildcard;
	return 0;
}

int network_rules_new(const cJSON *allow, struct network_rules **ret_rules, struct error *err)
{
	struct network_rules *rules = xcalloc(1, sizeof(*rules));
	const cJSON *entry;
	int status = 0;
	if (allow != NULL && !cJSON_IsArray(allow) && !cJSON_IsNull(allow))
		status = error_set(err, ERR_INVALID, "network.allow is no list");
	cJSON_ArrayForEach(entry, allow)
	{
		struct rule *rule = &rules->rules[rules->len];
		if (rules->len == NETWORK_RULES_MAX)
			status = error_set(err, ERR_LIMIT, "network.allow has more than %d entries", NETWORK_RULES_MAX);
		else if (!cJSON_IsString(entry))
			status = error_set(err, ERR_INVALID, "an entry of network.allow is no text");
		else if (network_rule_read(entry->valuestring, &rule->place, &rule->wildcard, err) < 0)
			status = error_prefix(err, "network.allow");
		if (status < 0)
			break;
		rules->len++;
	}
	if (status < 0) {
		network_rules_free(rules);
		return -1;
	}
	*ret_rules = rules;
	return 0;
}

void network_rules_free(struct network_rules *rules)
{
	free(rules);
}

size_t network_rules_len(const struct network_rules *rules)
{
	return rules != NULL ? rules->len : 0;
}

static bool is_below(const char *host, const char *parent)
{
	size_t len = strlen(host), parent_len = strlen(parent);
	return len > parent_len + 1 && host[len - parent_len - 1] == '.' && str_equal(host + len - parent_len, parent);
}

static bool rule_allows(const struct rule *rule, const struct network_place *place)
{
	if (rule->place.port != place->port || rule->place.is_literal != place->is_literal)
		return false;
	if (place->is_literal)
		return memcmp(rule->place.ip.bytes, place->ip.bytes, sizeof(place->ip.bytes)) == 0;
	return rule->wildcard ? is_below(place->host, rule->place.host) : str_equal(place->host, rule->place.host);
}

bool network_rules_allow(const struct network_rules *rules, const struct network_place *place)
{
	for (size_t i = 0; i < network_rules_len(rules); i++) {
		if (rule_allows(&rules->rules[i], place))
			return true;
	}
	return false;
}
