#include "api-gateway/http/etag.h"

#include <string.h>

#include "api-gateway/http/field_list.h"
#include "common/base/hash.h"
#include "common/base/str.h"

#define ID_TAIL_LEN 8
#define DIGEST_BYTES 16 /* of the hash: 128 bits are far from any collision */

void etag_of_project(const char *id, int64_t version, char ret[ETAG_SIZE])
{
	const char *tail = id + strlen(id) - ID_TAIL_LEN;                        /* the random end of a UUID */
	(void)snprintf(ret, ETAG_SIZE, "\"%lld-%s\"", (long long)version, tail); /* 31 characters at most */
}

void etag_of_bytes(const void *data, size_t len, char ret[ETAG_SIZE])
{
	uint8_t hash[SHA256_SIZE];
	sha256(data, len, hash);
	ret[0] = '"';
	hex_encode(hash, DIGEST_BYTES, ret + 1);
	memcpy(ret + 1 + DIGEST_BYTES * 2UL, "\"", 2);
}

/* Blanks, and commas that separate nothing (section 5.6.1.2). */
static const char *skip_empty(const char *at, const char *end)
{
	while (at < end && (slice_is_blank(*at) || *at == ','))
		at++;
	return at;
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && slice_is_blank(*at))
		at++;
	return at;
}

static int bad_list(struct error *err)
{
	return error_set(err, ERR_INVALID, "neither * nor entity tags in quotes");
}

/* Takes one tag off *at. The tag is what is in quotes, with them; NULL: there is none. */
static const char *next_tag(const char **at, const char *end, bool *ret_weak, size_t *ret_len)
{
	const char *tag = *at;
	*ret_weak = end - tag >= 2 && memcmp(tag, "W/", 2) == 0;
	if (*ret_weak)
		tag += 2;
	const char *close = tag < end && *tag == '"' ? memchr(tag + 1, '"', (size_t)(end - tag - 1)) : NULL;
	if (close == NULL)
		return NULL;
	*ret_len = (size_t)(close - tag) + 1;
	*at = skip_blanks(close + 1, end);
	return *at == end || **at == ',' ? tag : NULL;
}

int etag_list_has(const char *value, size_t len, const char *etag, enum etag_comparison comparison, bool *ret_has,
				  struct error *err)
{
	struct slice list = slice_trim((struct slice){value, len});
	const char *at = list.data, *end = list.data + list.len;
	if (slice_equals(list, "*")) {
		*ret_has = true;
		return 0;
	}
	bool has = false;
	for (at = skip_empty(at, end); at < end; at = skip_empty(at, end)) {
		bool weak;
		size_t tag_len;
		const char *tag = next_tag(&at, end, &weak, &tag_len);
		if (tag == NULL)
			return bad_list(err);
		if ((comparison == ETAG_WEAK || !weak) && tag_len == strlen(etag) && memcmp(tag, etag, tag_len) == 0)
			has = true;
	}
	*ret_has = has;
	return 0;
}
