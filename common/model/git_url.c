#include "common/model/git_url.h"

#include <ctype.h>

#include "common/base/str.h"

static const struct {
	const char *prefix, *scheme;
	int port;
} schemes[] = {
	{"https://", "https", 443},
	{"http://", "http", 80},
	{"ssh://", "ssh", 22},
};

static int copy_part(const char *what, const char *text, size_t len, char *ret, size_t size, struct error *err)
{
	if (len >= size)
		return error_set(err, ERR_INVALID, "git URL: %s is too long", what);
	memcpy(ret, text, len);
	ret[len] = '\0';
	return 0;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static int parse_host(const char *text, size_t len, struct git_url *url, struct error *err)
{
	const char *end = text + len, *host = text, *host_end;
	if (len > 0 && text[0] == '[') {
		host = text + 1;
		host_end = memchr(text, ']', len);
		if (host_end == NULL)
			return error_set(err, ERR_INVALID, "git URL: no ] after [");
		text = host_end + 1;
	} else {
		host_end = memchr(text, ':', len);
		if (host_end == NULL)
			host_end = end;
		text = host_end;
	}
	if (host_end == host)
		return error_set(err, ERR_INVALID, "git URL: no host");
	if (copy_part("the host", host, (size_t)(host_end - host), url->host, sizeof(url->host), err) < 0)
		return -1;
	for (char *c = url->host; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr(".-_:", *c) == NULL)
			return error_set(err, ERR_INVALID, "git URL: odd character in the host");
		*c = (char)tolower((unsigned char)*c);
	}
	if (url->host[0] == '-')
		return error_set(err, ERR_INVALID, "git URL: a host cannot begin with -");
	if (text == end)
		return 0;
	int64_t port;
	if (*text != ':' || str_parse_int(text + 1, (size_t)(end - text - 1), 1, 65535, &port, err) < 0)
		return error_set(err, ERR_INVALID, "git URL: bad port");
	url->port = (int)port;
	return 0;
}

static bool has_encoded_trick(const char *path)
{
	for (const char *c = strchr(path, '%'); c != NULL; c = strchr(c + 1, '%')) {
		if (strncasecmp(c, "%2e", 3) == 0 || strncasecmp(c, "%2f", 3) == 0 || strncasecmp(c, "%5c", 3) == 0 ||
			strncasecmp(c, "%00", 3) == 0)
			return true;
	}
	return false;
}

static int parse_path(const char *text, struct git_url *url, struct error *err)
{
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == '/')
		len--;
	if (copy_part("the path", text, len, url->path, sizeof(url->path), err) < 0)
		return -1;
	for (const char *c = url->path; *c != '\0'; c++) {
		if (*c <= ' ' || *c >= 127 || *c == '\\' || *c == '?' || *c == '#')
			return error_set(err, ERR_INVALID, "git URL: odd character in the path");
	}
	if (strstr(url->path, "/../") != NULL || strstr(url->path, "/./") != NULL || str_ends(url->path, "/..") ||
		str_ends(url->path, "/.") || strstr(url->path, "//") != NULL || has_encoded_trick(url->path))
		return error_set(err, ERR_INVALID, "git URL: dot segments, empty segments and their encoded forms are refused");
	return 0;
}

bool git_url_is_user(const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && (c == text || strchr("._-", *c) == NULL))
			return false;
	}
	return *text != '\0';
}

int git_url_parse(const char *text, struct git_url *ret_url, struct error *err)
{
	struct git_url url = {.port = 0};
	const char *rest = NULL;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
			continue;
		rest = text + strlen(schemes[i].prefix);
		(void)snprintf(url.scheme, sizeof(url.scheme), "%s", schemes[i].scheme);
		url.port = schemes[i].port;
	}
	if (rest == NULL)
		return error_set(err, ERR_INVALID, "git URL: only https://, ssh:// and (where allowed) http:// are spoken");
	size_t authority_len = strcspn(rest, "/");
	const char *path = rest + authority_len;
	const char *at = memchr(rest, '@', authority_len);
	if (at != NULL && !str_equal(url.scheme, "ssh"))
		return error_set(err, ERR_INVALID, "git URL: user names and passwords belong into a credential");
	if (at != NULL) {
		if (copy_part("the user", rest, (size_t)(at - rest), url.user, sizeof(url.user), err) < 0)
			return -1;
		if (!git_url_is_user(url.user))
			return error_set(err, ERR_INVALID, "git URL: odd character in the user");
		authority_len -= (size_t)(at + 1 - rest);
		rest = at + 1;
	}
	if (parse_host(rest, authority_len, &url, err) < 0 || parse_path(path, &url, err) < 0)
		return -1;
	*ret_url = url;
	return 0;
}

bool git_url_is_below(const struct git_url *url, const struct git_url *prefix)
{
	if (!str_equal(url->scheme, prefix->scheme) || !str_equal(url->host, prefix->host) || url->port != prefix->port)
		return false;
	size_t len = strlen(prefix->path);
	return strncmp(url->path, prefix->path, len) == 0 && (url->path[len] == '/' || url->path[len] == '\0');
}

bool git_url_is_below_base(const struct git_url *url, const char *base)
{
	struct git_url prefix;
	struct error err = ERROR_INIT;
	return base != NULL && git_url_parse(base, &prefix, &err) == 0 && git_url_is_below(url, &prefix);
}
