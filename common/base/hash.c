#include "common/base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "common/base/compiler.h"

#define BLOCK_SIZE 64

struct part {
	const void *data;
	size_t len;
};

/* Fetched once: the one-shot calls of OpenSSL 3 look the algorithm up, under a lock, each time. */
static EVP_MD *sha256_md;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
	sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
	CHECK(sha256_md != NULL);
}

/* No struct of that name exists: it is OpenSSL's context. */
static EVP_MD_CTX *context(struct sha256_run *run)
{
	return (EVP_MD_CTX *)(void *)run;
}

struct sha256_run *sha256_begin(void)
{
	CHECK(pthread_once(&sha256_once, fetch_sha256) == 0);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	CHECK(ctx != NULL && EVP_DigestInit_ex2(ctx, sha256_md, NULL) == 1);
	return (struct sha256_run *)(void *)ctx;
}

void sha256_add(struct sha256_run *run, const void *data, size_t len)
{
	CHECK(len == 0 || EVP_DigestUpdate(context(run), data, len) == 1);
}

void sha256_end(struct sha256_run *run, uint8_t ret[SHA256_SIZE])
{
	CHECK(ret == NULL || EVP_DigestFinal_ex(context(run), ret, NULL) == 1);
	EVP_MD_CTX_free(context(run));
}

static void digest(const struct part *parts, size_t count, uint8_t ret[SHA256_SIZE])
{
	struct sha256_run *run = sha256_begin();
	for (size_t i = 0; i < count; i++)
		sha256_add(run, parts[i].data, parts[i].len);
	sha256_end(run, ret);
}

void sha256(const void *data, size_t len, uint8_t ret[SHA256_SIZE])
{
	digest(&(struct part){data, len}, 1, ret);
}

void sha256_two(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t ret[SHA256_SIZE])
{
	struct part parts[] = {{a, a_len}, {b, b_len}};
	digest(parts, ARRAY_LEN(parts), ret);
}

/* RFC 2104. Spelled out because EVP_Q_mac fetches the MAC and the digest at each call. */
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t ret[SHA256_SIZE])
{
	uint8_t block[BLOCK_SIZE] = {0}, inner_pad[BLOCK_SIZE], outer_pad[BLOCK_SIZE], inner[SHA256_SIZE];
	if (key_len > BLOCK_SIZE)
		sha256(key, key_len, block);
	else if (key_len > 0)
		memcpy(block, key, key_len);
	for (size_t i = 0; i < BLOCK_SIZE; i++) {
		inner_pad[i] = block[i] ^ 0x36;
		outer_pad[i] = block[i] ^ 0x5c;
	}
	sha256_two(inner_pad, BLOCK_SIZE, data, len, inner);
	sha256_two(outer_pad, BLOCK_SIZE, inner, SHA256_SIZE, ret);
	OPENSSL_cleanse(block, sizeof(block));
	OPENSSL_cleanse(inner_pad, sizeof(inner_pad));
	OPENSSL_cleanse(outer_pad, sizeof(outer_pad));
}
