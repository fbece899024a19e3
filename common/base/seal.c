#include "common/base/seal.h"

#include <limits.h>
#include <openssl/evp.h>

#include "common/base/ids.h"

#define NONCE_SIZE 12
#define TAG_SIZE 16

static EVP_CIPHER_CTX *begin(const uint8_t key[SEAL_KEY_SIZE], const uint8_t nonce[NONCE_SIZE], const void *bound,
							 size_t bound_len, int encrypt)
{
	int ignored;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	CHECK(ctx != NULL && bound_len <= INT_MAX);
	CHECK(EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1);
	CHECK(bound_len == 0 || EVP_CipherUpdate(ctx, NULL, &ignored, bound, (int)bound_len) == 1);
	return ctx;
}

int seal_append(struct buffer *ret, const uint8_t key[SEAL_KEY_SIZE], const void *bound, size_t bound_len,
				const void *data, size_t len)
{
	CHECK(len <= INT_MAX);
	uint8_t *at = (uint8_t *)buffer_reserve(ret, len + SEAL_OVERHEAD);
	if (at == NULL)
		return -1;
	random_bytes(at, NONCE_SIZE);
	EVP_CIPHER_CTX *ctx = begin(key, at, bound, bound_len, 1);
	uint8_t *text = at + NONCE_SIZE;
	int written = 0;
	CHECK(len == 0 || (EVP_CipherUpdate(ctx, text, &written, data, (int)len) == 1 && (size_t)written == len));
	CHECK(EVP_CipherFinal_ex(ctx, text + len, &written) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, text + len) == 1);
	EVP_CIPHER_CTX_free(ctx);
	buffer_commit(ret, len + SEAL_OVERHEAD);
	return 0;
}

int seal_open(struct buffer *ret, const uint8_t key[SEAL_KEY_SIZE], const void *bound, size_t bound_len,
			  const void *sealed, size_t len, struct error *err)
{
	const uint8_t *nonce = sealed, *text = nonce + NONCE_SIZE;
	if (len < SEAL_OVERHEAD || len > INT_MAX)
		return error_set(err, ERR_INVALID, "not a sealed text");
	size_t text_len = len - SEAL_OVERHEAD;
	uint8_t tag[TAG_SIZE];
	memcpy(tag, text + text_len, TAG_SIZE);
	uint8_t *at = (uint8_t *)buffer_reserve(ret, text_len + 1); /* one more, so that it is never nothing */
	if (at == NULL)
		return error_set(err, ERR_LIMIT, "a sealed text of %zu bytes is too long", text_len);
	EVP_CIPHER_CTX *ctx = begin(key, nonce, bound, bound_len, 0);
	int written = 0;
	CHECK(text_len == 0 || (EVP_CipherUpdate(ctx, at, &written, text, (int)text_len) == 1));
	CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1);
	bool fits = EVP_CipherFinal_ex(ctx, at + text_len, &written) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!fits) {
		memset(at, 0, text_len);
		return error_set(err, ERR_INVALID, "the sealed text was changed, or belongs to something else");
	}
	buffer_commit(ret, text_len);
	return 0;
}
