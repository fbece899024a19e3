#include "api-gateway/builds/idempotency.h"

#include "common/base/buffer.h"

static int bad_key(struct error *err)
{
	return error_set(err, ERR_INVALID, "Idempotency-Key must be 1 to %d printable ASCII characters, best in quotes",
					 IDEMPOTENCY_KEY_MAX);
}

int idempotency_key_read(const char *value, size_t len, char ret[IDEMPOTENCY_KEY_MAX + 1], struct error *err)
{
	char key[IDEMPOTENCY_KEY_MAX + 1];
	size_t key_len = 0;
	bool quoted = len >= 2 && value[0] == '"';
	if (quoted && value[len - 1] != '"')
		return bad_key(err);
	size_t at = quoted ? 1 : 0, end = quoted ? len - 1 : len;
	for (; at < end; at++) {
		char c = value[at];
		if (c < 0x20 || c > 0x7E || key_len == IDEMPOTENCY_KEY_MAX)
			return bad_key(err); /* char may be signed: bytes over 0x7F are below 0x20 then */
		if (c == '"')
			return bad_key(err);
		if (quoted && c == '\\') {
			at++;
			if (at == end || (value[at] != '"' && value[at] != '\\'))
				return bad_key(err);
			c = value[at];
		}
		key[key_len++] = c;
	}
	if (key_len == 0)
		return bad_key(err);
	key[key_len] = '\0';
	memcpy(ret, key, key_len + 1);
	return 0;
}

static void append_part(struct buffer *message, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);
	const uint8_t prefix[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
	(void)buffer_append(message, prefix, sizeof(prefix)); /* the sum of the parts is below the maximum */
	(void)buffer_append(message, text, len);
}

void idempotency_digest(const void *secret, size_t secret_len, const char *owner, const char *route, const char *scope,
						const char *key, uint8_t ret[SHA256_SIZE])
{
	CLEANUP(buffer_release_p) struct buffer message;
	buffer_init(&message, 1024);
	append_part(&message, owner);
	append_part(&message, route);
	append_part(&message, scope);
	append_part(&message, key);
	CHECK(buffer_ok(&message));
	hmac_sha256(secret, secret_len, message.data, message.len, ret);
}

void idempotency_build_id(const void *secret, size_t secret_len, const char *owner, const char *route,
						  const char *project_id, const char *key, char ret[UUID_TEXT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	idempotency_digest(secret, secret_len, owner, route, project_id, key, digest);
	uuid_v8(digest, ret);
}
