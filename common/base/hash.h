/* SHA-256 and HMAC-SHA-256 by OpenSSL. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *data, size_t len, uint8_t ret[SHA256_SIZE]);
/* SHA-256 of a ‖ b: the trail's hash = sha256_two(previous, 32, body, len). */
void sha256_two(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t ret[SHA256_SIZE]);

/* Of what comes bit by bit. */
struct sha256_run;
struct sha256_run *sha256_begin(void);
void sha256_add(struct sha256_run *run, const void *data, size_t len);
/* Ends the run. `ret` NULL: the hash is not wanted. */
void sha256_end(struct sha256_run *run, uint8_t ret[SHA256_SIZE]);

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t ret[SHA256_SIZE]);
/* Kafka's murmur2 (as in Java's Utils.murmur2): partition = (murmur2 & 0x7fffffff) % partitions. */
uint32_t kafka_murmur2(const void *data, size_t len);
/* The same in two steps, for keys of `len` bytes that begin alike: once for the head, of a multiple of four bytes, and
 * with its result for each rest. */
uint32_t kafka_murmur2_head(const void *head, size_t head_len, size_t len);
uint32_t kafka_murmur2_rest(uint32_t head, const void *rest, size_t rest_len);
