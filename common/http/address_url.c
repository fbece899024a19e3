#include "common/http/address_url.h"

#include <string.h>
#include <strings.h>

#include "common/base/str.h"

static const struct {
	const char *name;
	int port;
} known_schemes[] = {{"http", 80}, {"https", 443}, {"ssh", 22}};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Would inet_aton read it as a number? Then the whole host must be an address: "ends in a number" of the WHATWG URL
 * standard. */
static bool label_is_number(const char *label, size_t len)
{
	if (len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
		return strspn(label + 2, "0123456789abcdefABCDEF") >= len - 2;
	return strspn(label, "0123456789") >= len;
}

bool url_host_is_name(const char *host, size_t len)
{
	size_t start = 0;

	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len == 0 || len > URL_MAX_HOST_LEN)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && host[i] != '.') {
			if (!is_alnum(host[i]) && host[i] != '-' && host[i] != '_')
				return false;
			continue;
		}
		if (i == start || i - start > 63)
			return false;
		if (i == len && label_is_number(host + start, len - start))
			return false;
		start = i + 1;
	}
	return true;
}

bool url_host_literal(const char *host, struct ip_address *ret_ip)
{
	char text[URL_MAX_HOST_LEN + 2];
	size_t len = strlen(host);

	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, host, len + 1);
	if (text[len - 1] == '.')
		text[len - 1] = '\0';
	return ip_from_literal(text, ret_ip);
}

static int split_scheme(const char *url, const char *schemes, struct url_parts *parts, const char **ret_rest,
						struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(known_schemes); i++) {
		size_t len = strlen(known_schemes[i].name);
		if (strncasecmp(url, known_schemes[i].name, len) != 0 || strncmp(url + len, "://", 3) != 0)
			continue;
		CLEANUP(strv_free_p) char **allowed = strv_split(schemes, ',');
		if (!strv_contains(allowed, known_schemes[i].name))
			break;
		memcpy(parts->scheme, known_schemes[i].name, len + 1);
		parts->port = known_schemes[i].port;
		*ret_rest = url + len + 3;
		return 0;
	}
	return error_set(err, ERR_INVALID, "the URL must begin with one of: %s (then ://)", schemes);
}

static int split_authority(const char *text, size_t len, struct url_parts *parts, struct error *err)
{
	const char *at = memchr(text, '@', len);
	const char *port = NULL;
	struct ip_address ip;

	if (at != NULL) {
		size_t user_len = (size_t)(at - text);
		if (!str_equal(parts->scheme, "ssh"))
			return error_set(err, ERR_INVALID, "user information in the URL is not allowed");
		for (size_t i = 0; i < user_len; i++) {
			if (!is_alnum(text[i]) && text[i] != '-' && text[i] != '_' && text[i] != '.')
				return error_set(err, ERR_INVALID, "only a plain user name may stand before the host");
		}
		/* "ssh://-oProxyCommand=…@host" would be an option to ssh. */
		if (user_len == 0 || text[0] == '-')
			return error_set(err, ERR_INVALID, "bad user name");
		len -= user_len + 1;
		text = at + 1;
	}
	if (len > 0 && text[0] == '[') {
		const char *close = memchr(text, ']', len);
		if (close == NULL)
			return error_set(err, ERR_INVALID, "the bracket of the IPv6 address is not closed");
		size_t host_len = (size_t)(close - text) - 1;
		if (host_len == 0 || host_len > 45)
			return error_set(err, ERR_INVALID, "bad IPv6 address");
		memcpy(parts->host, text + 1, host_len);
		parts->host[host_len] = '\0';
		if (strchr(parts->host, ':') == NULL || !ip_from_literal(parts->host, &ip))
			return error_set(err, ERR_INVALID, "bad IPv6 address");
		port = close + 1;
	} else {
		const char *colon = memchr(text, ':', len);
		size_t host_len = colon != NULL ? (size_t)(colon - text) : len;
		if (host_len == 0)
			return error_set(err, ERR_INVALID, "the URL has no host");
		if (host_len > URL_MAX_HOST_LEN)
			return error_set(err, ERR_INVALID, "the host is longer than %d bytes", URL_MAX_HOST_LEN);
		memcpy(parts->host, text, host_len);
		parts->host[host_len] = '\0';
		/* ssh would take such a host for an option. */
		if (parts->host[0] == '-' || (!url_host_is_name(parts->host, host_len) && !url_host_literal(parts->host, &ip)))
			return error_set(err, ERR_INVALID, "the host is neither a name nor an address");
		port = text + host_len;
	}
	size_t left = (size_t)(text + len - port);
	if (left > 0) {
		int64_t number;
		if (port[0] != ':' || str_parse_int(port + 1, left - 1, 1, 65535, &number, err) < 0)
			return error_set(err, ERR_INVALID, "bad port in the URL");
		parts->port = (int)number;
	}
	return 0;
}

int url_split(const char *url, const char *schemes, struct url_parts *ret_parts, struct error *err)
{
	struct url_parts parts = {.port = 0};
	const char *rest = NULL;
	size_t len = strlen(url);

	if (len > URL_MAX_LEN)
		return error_set(err, ERR_INVALID, "the URL is longer than %d bytes", URL_MAX_LEN);
	for (size_t i = 0; i < len; i++) {
		if (url[i] <= ' ' || url[i] >= 0x7f || strchr("\\\"<>^`{|}", url[i]) != NULL)
			return error_set(err, ERR_INVALID, "byte %zu of the URL is not allowed there: percent-encode it", i + 1);
	}
	if (split_scheme(url, schemes, &parts, &rest, err) < 0)
		return -1;
	if (split_authority(rest, strcspn(rest, "/?#"), &parts, err) < 0)
		return -1;
	*ret_parts = parts;
	return 0;
}

int url_check_git_base(const char *url, struct error *err)
{
	struct url_parts parts;
	if (url_split(url, "https,ssh,http", &parts, err) < 0)
		return -1;
	return strpbrk(url, "?#") == NULL ? 0 : error_set(err, ERR_INVALID, "the URL has a query or a fragment");
}

int url_split_port(char *text, char **ret_host, int *ret_port, struct error *err)
{
	char *colon = strrchr(text, ':');
	int64_t port = 0;

	if (text[0] == '[') {
		char *close = strchr(text, ']');
		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			return error_set(err, ERR_INVALID, "brackets");
		*close = '\0';
		colon = close[1] == ':' ? close + 1 : NULL;
		text++;
	} else if (colon != NULL && strchr(text, ':') != colon) {
		colon = NULL;
	}
	if (colon != NULL) {
		if (str_parse_int(colon + 1, strlen(colon + 1), 1, 65535, &port, err) < 0)
			return -1;
		*colon = '\0';
	}
	*ret_host = text;
	*ret_port = (int)port;
	return 0;
}
