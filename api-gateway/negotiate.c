#include "api-gateway/negotiate.h"

#include <string.h>
#include <strings.h>

struct part {
	const char *text;
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct part trim(const char *from, const char *to)
{
	while (from < to && is_blank(*from))
		from++;
	while (to > from && is_blank(to[-1]))
		to--;
	return (struct part){from, (size_t)(to - from)};
}

/* Takes the text up to `separator` off *at. */
static struct part next_part(const char **at, const char *end, char separator)
{
	const char *stop = memchr(*at, separator, (size_t)(end - *at));
	if (stop == NULL)
		stop = end;
	struct part part = trim(*at, stop);
	*at = stop < end ? stop + 1 : end;
	return part;
}

static bool equals(struct part part, const char *text)
{
	return part.len == strlen(text) && strncasecmp(part.text, text, part.len) == 0;
}

/* q in thousandths; 1000 when it is absent or malformed. */
static int quality(struct part parameter)
{
	if (parameter.len < 3 || strncasecmp(parameter.text, "q=", 2) != 0)
		return 1000;
	const char *at = parameter.text + 2, *end = parameter.text + parameter.len;
	if (*at != '0' && *at != '1')
		return 1000;
	int value = (*at - '0') * 1000, unit = 100;
	at++;
	if (at < end && *at == '.')
		at++;
	for (; at < end && unit > 0; at++, unit /= 10) {
		if (*at < '0' || *at > '9')
			return 1000;
		value += (*at - '0') * unit;
	}
	return value > 1000 ? 1000 : value;
}

/* How closely a range names a type: 3 exactly, 2 by its main type, 1 by all, 0 not. */
static int closeness(struct part range, const char *type)
{
	if (equals(range, type))
		return 3;
	if (equals(range, "*/*"))
		return 1;
	const char *slash = strchr(type, '/');
	size_t main_len = (size_t)(slash - type) + 1;
	if (range.len == main_len + 1 && range.text[main_len] == '*' && strncasecmp(range.text, type, main_len) == 0)
		return 2;
	return 0;
}

/* Takes a list's element off *at: what it names, and its q. */
static struct part next_element(const char **at, const char *end, int *ret_quality)
{
	struct part element = next_part(at, end, ',');
	const char *inside = element.text, *inside_end = element.text + element.len;
	struct part range = next_part(&inside, inside_end, ';');
	*ret_quality = 1000;
	while (inside < inside_end) {
		struct part parameter = next_part(&inside, inside_end, ';');
		if (parameter.len >= 2 && strncasecmp(parameter.text, "q=", 2) == 0)
			*ret_quality = quality(parameter);
	}
	return range;
}

static int offer_quality(const char *accept, size_t len, const char *type)
{
	int best_closeness = 0, best_quality = 0;
	for (const char *at = accept, *end = accept + len; at < end;) {
		int q;
		struct part range = next_element(&at, end, &q);
		int close = closeness(range, type);
		if (close > best_closeness) {
			best_closeness = close;
			best_quality = q;
		}
	}
	return best_quality;
}

int negotiate_accept(const char *accept, size_t len, const char *const *offers)
{
	struct part all = accept == NULL ? (struct part){"", 0} : trim(accept, accept + len);
	if (all.len == 0 || equals(all, "*/*") || equals(all, offers[0]))
		return 0;
	int best = -1, best_quality = 0;
	for (int i = 0; offers[i] != NULL; i++) {
		int q = offer_quality(all.text, all.len, offers[i]);
		if (q > best_quality) {
			best = i;
			best_quality = q;
		}
	}
	return best;
}

bool negotiate_gzip(const char *accept_encoding, size_t len)
{
	int gzip = -1, identity = -1, others = -1;
	const char *at = accept_encoding, *end = accept_encoding != NULL ? accept_encoding + len : NULL;
	while (at < end) {
		int q;
		struct part coding = next_element(&at, end, &q);
		if (equals(coding, "gzip") || equals(coding, "x-gzip"))
			gzip = q;
		else if (equals(coding, "identity"))
			identity = q;
		else if (equals(coding, "*"))
			others = q;
	}
	if (gzip < 0)
		gzip = others;
	return gzip > 0 && gzip >= identity;
}

bool negotiate_is_type(const char *value, size_t len, const char *type)
{
	if (value == NULL)
		return false;
	const char *at = value, *end = value + len;
	if (!equals(next_part(&at, end, ';'), type))
		return false;
	while (at < end) {
		struct part parameter = next_part(&at, end, ';');
		if (parameter.len > 0 && !equals(parameter, "charset=utf-8") && !equals(parameter, "charset=\"utf-8\""))
			return false;
	}
	return true;
}
