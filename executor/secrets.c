#include "executor/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

#define FIRST_BITS 16
/* Of a piece of a secret; its longest spelling (percent-encoded) is three times as long. */
#define PIECE_BYTES (SECRET_MAX_BYTES / 3)

struct secret_spelling {
	uint64_t first; /* its first eight bytes */
	size_t len;
	char *text;
};

_Static_assert(SECRET_MIN_BYTES == sizeof(uint64_t), "the first bytes are looked at as one number");
_Static_assert(sizeof(SECRET_MASK) - 1 <= SECRET_MIN_BYTES, "masks are put in place");

static uint64_t first_of(const char *text)
{
	uint64_t first;
	memcpy(&first, text, sizeof(first));
	return first;
}

static size_t hash(uint64_t first)
{
	return (size_t)((first * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - FIRST_BITS));
}

/* ---- what is known */

static void mark(struct secrets *secrets, uint64_t first)
{
	secrets->first[hash(first) / 64] |= UINT64_C(1) << (hash(first) % 64);
}

static void forget(struct secret_spelling *spelling)
{
	explicit_bzero(spelling->text, spelling->len);
	free(spelling->text);
}

static void forget_oldest(struct secrets *secrets)
{
	forget(&secrets->spellings[0]);
	secrets->len--;
	memmove(&secrets->spellings[0], &secrets->spellings[1], secrets->len * sizeof(secrets->spellings[0]));
	/* Its bit may stay: it only costs a look. */
}

static void add_spelling(struct secrets *secrets, const char *text, size_t len)
{
	if (len < SECRET_MIN_BYTES)
		return;
	CHECK(len <= SECRET_MAX_BYTES);
	for (size_t i = 0; i < secrets->len; i++) {
		if (secrets->spellings[i].len == len && memcmp(secrets->spellings[i].text, text, len) == 0)
			return;
	}
	if (secrets->first == NULL) {
		secrets->first = xcalloc((size_t)1 << (FIRST_BITS - 6), sizeof(*secrets->first));
		secrets->spellings = xcalloc(SECRETS_MAX_SPELLINGS, sizeof(*secrets->spellings));
	}
	if (secrets->len == SECRETS_MAX_SPELLINGS)
		forget_oldest(secrets);
	secrets->spellings[secrets->len++] =
		(struct secret_spelling){.first = first_of(text), .len = len, .text = xmemdup(text, len)};
	mark(secrets, first_of(text));
}

static void wipe(struct buffer *buf)
{
	if (buf->data != NULL)
		explicit_bzero(buf->data, buf->len);
	buffer_release(buf);
}

/* Base64 of it behind 0, 1 and 2 bytes that are not known: the characters that are the same whatever stands around. */
static void add_base64(struct secrets *secrets, const char *text, size_t len, bool for_urls)
{
	for (size_t before = 0; before < 3; before++) {
		struct buffer plain, encoded;
		buffer_init(&plain, PIECE_BYTES + 2);
		buffer_init(&encoded, SECRET_MAX_BYTES);
		(void)buffer_append(&plain, "\0\0", before); /* fits, like what follows */
		(void)buffer_append(&plain, text, len);
		(void)(for_urls ? base64url_append : base64_append)(&encoded, plain.data, plain.len);
		CHECK(buffer_ok(&plain) && buffer_ok(&encoded));
		size_t from = (8 * before + 5) / 6, to = 8 * plain.len / 6;
		add_spelling(secrets, encoded.data + from, to - from);
		wipe(&plain);
		wipe(&encoded);
	}
}

static void add_json(struct secrets *secrets, const char *text, size_t len)
{
	struct buffer escaped;
	buffer_init(&escaped, SECRET_MAX_BYTES);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			(void)buffer_append_char(&escaped, '\\'); /* fits: at most two for one */
		(void)buffer_append_char(&escaped, text[i]);
	}
	add_spelling(secrets, escaped.data, escaped.len);
	wipe(&escaped);
}

static void add_percent(struct secrets *secrets, const char *text, size_t len)
{
	struct buffer encoded;
	buffer_init(&encoded, SECRET_MAX_BYTES);
	CHECK(url_encode(&encoded, text, len) == 0);
	add_spelling(secrets, encoded.data, encoded.len);
	wipe(&encoded);
}

static void add_piece(struct secrets *secrets, const char *text, size_t len)
{
	if (len < SECRET_MIN_BYTES)
		return;
	add_spelling(secrets, text, len);
	add_base64(secrets, text, len, false);
	add_base64(secrets, text, len, true);
	add_json(secrets, text, len);
	add_percent(secrets, text, len);
}

void secrets_add(struct secrets *secrets, const char *text)
{
	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, "\r\n"), piece;
		bool is_frame = str_starts(text, "-----");
		for (size_t at = 0; at < len && !is_frame; at += piece) {
			piece = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
			add_piece(secrets, text + at, piece);
		}
		text += len + strspn(text + len, "\r\n");
	}
}

void secrets_release(struct secrets *secrets)
{
	for (size_t i = 0; i < secrets->len; i++)
		forget(&secrets->spellings[i]);
	free(secrets->spellings);
	free(secrets->first);
	*secrets = (struct secrets){.spellings = NULL};
}

/* ---- where they are */

static bool may_begin(const struct secrets *secrets, uint64_t first)
{
	return (secrets->first[hash(first) / 64] >> (hash(first) % 64) & 1) != 0;
}

/* The length of the longest that stands at the beginning of text[0, len); 0 = none. */
static size_t longest_at(const struct secrets *secrets, const char *text, size_t len)
{
	size_t longest = 0;
	if (len < SECRET_MIN_BYTES || !may_begin(secrets, first_of(text)))
		return 0;
	for (size_t i = 0; i < secrets->len; i++) {
		const struct secret_spelling *one = &secrets->spellings[i];
		if (one->len > longest && one->len <= len && one->first == first_of(text) &&
			memcmp(one->text, text, one->len) == 0)
			longest = one->len;
	}
	return longest;
}

/* Whether all of text[0, len) is the beginning of one that is longer. */
static bool is_beginning(const struct secrets *secrets, const char *text, size_t len)
{
	if (len >= SECRET_MIN_BYTES && !may_begin(secrets, first_of(text)))
		return false;
	for (size_t i = 0; i < secrets->len; i++) {
		if (secrets->spellings[i].len > len && memcmp(secrets->spellings[i].text, text, len) == 0)
			return true;
	}
	return false;
}

struct span {
	size_t from, to;
};

/* The first place at `at` or behind it, with all that overlaps it. */
static bool find(const struct secrets *secrets, const char *text, size_t len, size_t at, struct span *ret)
{
	size_t found = 0;
	while (at + SECRET_MIN_BYTES <= len && (found = longest_at(secrets, text + at, len - at)) == 0)
		at++;
	if (found == 0)
		return false;
	*ret = (struct span){.from = at, .to = at + found};
	for (at++; at < ret->to; at++) {
		found = longest_at(secrets, text + at, len - at);
		if (at + found > ret->to)
			ret->to = at + found;
	}
	return true;
}

/* Where the longest end of the text begins that is the beginning of a secret; `len` = there is none. */
static size_t find_beginning(const struct secrets *secrets, const char *text, size_t len)
{
	size_t at = len > SECRET_MAX_BYTES - 1 ? len - (SECRET_MAX_BYTES - 1) : 0;
	const char *newline = len > at ? memrchr(text + at, '\n', len - at) : NULL;
	if (newline != NULL) /* no secret has one */
		at = (size_t)(newline - text) + 1;
	while (at < len && !is_beginning(secrets, text + at, len - at))
		at++;
	return at;
}

/* Masks what begins before `*end`. Where a secret reaches beyond it, or to the text's end, `*end` moves to the secret's
 * beginning, if `may_wait`: more of it may follow. Returns the new length of what is before it; what is behind it stays
 * where it was. */
static size_t mask_before(const struct secrets *secrets, char *text, size_t len, bool may_wait, size_t *end)
{
	struct span span;
	size_t read = 0, written = 0;
	while (read < *end && find(secrets, text, len, read, &span) && span.from < *end) {
		if (may_wait && span.to > *end && len - span.from <= SECRETS_WAITING_BYTES) {
			*end = span.from;
			break;
		}
		memmove(text + written, text + read, span.from - read);
		written += span.from - read;
		memcpy(text + written, SECRET_MASK, sizeof(SECRET_MASK) - 1);
		written += sizeof(SECRET_MASK) - 1;
		read = span.to;
	}
	if (*end < read) /* it was too long to wait */
		*end = read;
	memmove(text + written, text + read, *end - read);
	return written + *end - read;
}

/* Masks all of text[0, len), and what may be a secret that was cut at its end. Returns the new length. */
static size_t mask_all(const struct secrets *secrets, char *text, size_t len)
{
	size_t end = len;
	len = mask_before(secrets, text, len, false, &end);
	size_t cut = find_beginning(secrets, text, len);
	if (len - cut < SECRET_MIN_BYTES)
		return len;
	memcpy(text + cut, SECRET_MASK, sizeof(SECRET_MASK) - 1);
	return cut + sizeof(SECRET_MASK) - 1;
}

size_t secrets_mask(const struct secrets *secrets, char *text, size_t len)
{
	return secrets->len > 0 ? mask_all(secrets, text, len) : len;
}

/* Masks what may be shown before more comes, and keeps the rest. Returns the length of what may be shown. */
static size_t mask_stream(struct secrets_stream *stream, const struct secrets *secrets, char *text, size_t len)
{
	size_t end = find_beginning(secrets, text, len);
	size_t shown = mask_before(secrets, text, len, true, &end);
	stream->len = len - end;
	if (stream->len > 0) {
		if (stream->waiting == NULL)
			stream->waiting = xmalloc(SECRETS_WAITING_BYTES);
		CHECK(stream->len <= SECRETS_WAITING_BYTES);
		memcpy(stream->waiting, text + end, stream->len);
	}
	return shown;
}

void secrets_stream_add(struct secrets_stream *stream, const struct secrets *secrets, const char *data, size_t len,
						bool last, struct buffer *out)
{
	size_t start = out->len;
	if (stream->len > 0)
		(void)buffer_append(out, stream->waiting, stream->len); /* the caller has given room, here and below */
	if (len > 0)
		(void)buffer_append(out, data, len);
	CHECK(buffer_ok(out));
	stream->len = 0;
	if (secrets->len == 0 || out->len == start)
		return;
	char *text = out->data + start;
	size_t all = out->len - start;
	size_t shown = last ? mask_all(secrets, text, all) : mask_stream(stream, secrets, text, all);
	buffer_truncate(out, start + shown);
}

void secrets_stream_release(struct secrets_stream *stream)
{
	if (stream->waiting != NULL)
		explicit_bzero(stream->waiting, SECRETS_WAITING_BYTES);
	free(stream->waiting);
	*stream = (struct secrets_stream){.waiting = NULL};
}
