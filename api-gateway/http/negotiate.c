#include "api-gateway/http/negotiate.h"

#include <string.h>
#include <strings.h>

#include "api-gateway/http/field_list.h"

/* q in thousandths; 1000 when it is absent or malformed. */
static int quality(struct slice parameter)
{
	if (parameter.len < 3 || strncasecmp(parameter.data, "q=", 2) != 0)
		return 1000;
	const char *at = parameter.data + 2, *end = parameter.data + parameter.len;
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
static int closeness(struct slice range, const char *type)
{
	if (slice_equals(range, type))
		return 3;
	if (slice_equals(range, "*/*"))
		return 1;
	const char *slash = strchr(type, '/');
	size_t main_len = (size_t)(slash - type) + 1;
	if (range.len == main_len + 1 && range.data[main_len] == '*' && strncasecmp(range.data, type, main_len) == 0)
		return 2;
	return 0;
}

/* Takes a list's element off *rest: what it names, and its q. */
static struct slice next_element(struct slice *rest, int *ret_quality)
{
	struct slice element = slice_next(rest, ',', SLICE_QUOTES_PLAIN);
	struct slice range = slice_next(&element, ';', SLICE_QUOTES_PLAIN);
	*ret_quality = 1000;
	while (element.len > 0) {
		struct slice parameter = slice_next(&element, ';', SLICE_QUOTES_PLAIN);
		if (parameter.len >= 2 && strncasecmp(parameter.data, "q=", 2) == 0)
			*ret_quality = quality(parameter);
	}
	return range;
}

static int offer_quality(struct slice accept, const char *type)
{
	int best_closeness = 0, best_quality = 0;
	while (accept.len > 0) {
		int q;
		struct slice range = next_element(&accept, &q);
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
	struct slice all = slice_trim((struct slice){accept, accept != NULL ? len : 0});
	if (all.len == 0 || slice_equals(all, "*/*") || slice_equals(all, offers[0]))
		return 0;
	int best = -1, best_quality = 0;
	for (int i = 0; offers[i] != NULL; i++) {
		int q = offer_quality(all, offers[i]);
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
	struct slice rest = {accept_encoding, accept_encoding != NULL ? len : 0};
	while (rest.len > 0) {
		int q;
		struct slice coding = next_element(&rest, &q);
		if (slice_equals(coding, "gzip") || slice_equals(coding, "x-gzip"))
			gzip = q;
		else if (slice_equals(coding, "identity"))
			identity = q;
		else if (slice_equals(coding, "*"))
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
	struct slice rest = {value, len};
	if (!slice_equals(slice_next(&rest, ';', SLICE_QUOTES_PLAIN), type))
		return false;
	while (rest.len > 0) {
		struct slice parameter = slice_next(&rest, ';', SLICE_QUOTES_PLAIN);
		if (parameter.len > 0 && !slice_equals(parameter, "charset=utf-8") &&
			!slice_equals(parameter, "charset=\"utf-8\""))
			return false;
	}
	return true;
}
